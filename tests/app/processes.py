"""Gateways as processes of their own, to be watched by their logs, stopped and killed; and the patience for that.

`rig` starts them on its settings.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from gateway.settings.tree import Settings

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0
LOOK = 0.02
PARTITIONS = 4


class GatewayProcess:
    """`python -m gateway run` on a deployment's settings."""

    def __init__(self, folder: Path, name: str, settings: Settings) -> None:
        self._config = folder / f"{name}.toml"
        self._config.write_text(toml(msgspec.to_builtins(settings)))
        self._log = folder / f"{name}.log"
        self.popen: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start it; its log goes on where it was."""
        with self._log.open("ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run", "--config", str(self._config)],
                cwd=ROOT,
                env=os.environ | {"PYTHONFAULTHANDLER": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._started_at = len(self.log)

    @property
    def log(self) -> str:
        """Everything it wrote."""
        return self._log.read_text("utf-8", "replace")

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        """Its log since the last start, where it is JSON."""
        lines = self.log[self._started_at :].splitlines()
        return [msgspec.json.decode(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Lines of one kind since the last start."""
        return [line for line in self.log_lines if line.get("event") == event]

    async def restored(self, partitions: int = PARTITIONS) -> None:
        """Until it works on so many partitions."""
        await until(
            lambda: (
                self.popen.poll() is not None
                or len({line["partition"] for line in self.logged("restored_partition")}) >= partitions
            ),
            "the process has its partitions",
            PATIENCE,
        )
        assert self.popen.poll() is None, self.log

    @property
    def url(self) -> str:
        """Where its probes are."""
        return self.logged("started_gateway")[-1]["probes"]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.popen.send_signal(number)

    def kill(self) -> None:
        """kill -9, and take the body away."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()

    async def terminate(self) -> int:
        """SIGTERM, and its exit code."""
        self.popen.terminate()
        return await asyncio.to_thread(self.popen.wait, PATIENCE)


async def until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait for what nothing tells; AssertionError where it does not come."""
    try:
        async with asyncio.timeout(patience):
            while not condition():  # noqa: ASYNC110 - what is looked at does not tell
                await asyncio.sleep(LOOK)
    except TimeoutError:
        raise AssertionError(f"in {patience} s not: {what}") from None


def toml(tables: dict[str, Any], path: tuple[str, ...] = ()) -> str:
    """A settings tree as TOML; JSON's texts, numbers and booleans are TOML's too."""
    own = {name: value for name, value in tables.items() if not isinstance(value, dict | None)}
    lines = [f"[{'.'.join(path)}]"] if path and own else []
    lines += [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in own.items()]
    below = [toml(value, (*path, f'"{name}"')) for name, value in tables.items() if isinstance(value, dict)]
    return "\n".join([*lines, *below])
