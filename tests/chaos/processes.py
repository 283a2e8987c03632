"""Gateways and the simulator as processes of their own, to be killed, stopped and woken up."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Process:
    """One child process with its log; every signal is a method."""

    def __init__(self, name: str, arguments: list[str], folder: Path, *, pipe: bool = False) -> None:
        self.name = name
        self._arguments = [sys.executable, "-m", *arguments]
        self._log_path = folder / f"{name}.log"
        self._pipe = pipe
        self._popen: subprocess.Popen[bytes] | None = None
        self.suspended = False

    def start(self) -> None:
        """Start it (again); its log goes on where it was."""
        with self._log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                self._arguments,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._pipe else log,
                stderr=log,
            )

    @property
    def popen(self) -> subprocess.Popen[bytes]:
        """The running process."""
        if self._popen is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._popen

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._popen is not None and self._popen.poll() is None

    def kill(self) -> None:
        """kill -9, and take the body away."""
        self.popen.kill()
        self.popen.wait()
        if self.popen.stdout is not None:
            self.popen.stdout.close()
        self.suspended = False

    def suspend(self) -> None:
        """SIGSTOP."""
        self.popen.send_signal(signal.SIGSTOP)
        self.suspended = True

    def resume(self) -> None:
        """SIGCONT."""
        self.popen.send_signal(signal.SIGCONT)
        self.suspended = False

    def stop(self, patience: float = 30.0) -> int:
        """SIGTERM, and its exit code; killed where that takes too long."""
        if self.suspended:
            self.resume()
        self.popen.terminate()
        try:
            return self.popen.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9

    @property
    def log(self) -> str:
        """Everything it wrote."""
        return self._log_path.read_text("utf-8", "replace")


class Simulator(Process):
    """The simulated venues; `url` once started."""

    url: str

    def __init__(self, folder: Path, accounts: Path) -> None:
        super().__init__(
            "simulator",
            ["gateway.simulator", "--listen", "127.0.0.1:0", "--accounts", str(accounts)],
            folder,
            pipe=True,
        )

    def start(self) -> None:
        """Start it and wait for the line that says where it listens."""
        super().start()
        stdout = self.popen.stdout
        if stdout is None:
            raise RuntimeError("the simulator's output is not piped")
        self.url = json.loads(stdout.readline())["url"]


@contextlib.contextmanager
def working_folder():
    """A folder for one run, gone after it."""
    with tempfile.TemporaryDirectory(prefix="gateway-chaos-") as folder:
        yield Path(folder)
