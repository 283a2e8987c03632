"""The topology of deploy/compose without containers: `python -m deploy.topology`, until Ctrl-C.

It reads compose.yaml and what lies beside it, and starts the same commands with the same settings as processes: Kafka
from its jars, Prometheus where it is installed, no Grafana. A port that is taken is replaced by a free one everywhere.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from deploy.kafka.broker import Cluster, KafkaMissingError

COMPOSE = Path(__file__).parent / "compose"
PATIENCE = 60.0
ADDRESS = re.compile(r"(?<=\.0\.0\.[01]:)(\d{4})\b")
PROBED = {"gateway-0": 8080, "gateway-1": 8081, "edge": 8082}


class Topology:
    """Everything that runs, by the name that its service has in compose.yaml.

    Args:
        program: what stands for the image's entry point.
        folder: for logs, keys and data; empty.
        outside: how a path of this machine is called where that program runs.
        brokers: how many.
        user: whose the simulator's folder is, where it is not ours.
    """

    def __init__(
        self,
        program: tuple[str, ...],
        folder: Path,
        outside: Callable[[Path], str] = str,
        *,
        brokers: int = 1,
        user: int | None = None,
    ) -> None:
        self._program = program
        self._folder = folder
        self._outside = outside
        self._user = user
        self._ports: dict[str, str] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._services: Mapping[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text("utf-8"))["services"]
        self.cluster = Cluster(brokers)

    def __enter__(self) -> Self:
        try:
            self.cluster.start()
            shutil.copytree(COMPOSE, self._folder / "etc")
            shutil.copy(COMPOSE.parent / "prometheus" / "rules.yml", self._folder / "etc")
            (self._folder / "shared").mkdir()
            if self._user is not None:
                os.chown(self._folder / "shared", self._user, self._user)
            self.ours("topics", "create")
            for name in ("simulator", *PROBED):
                self.start(name)
                if name == "simulator":
                    self._wait(lambda: self._runs("simulator") and self.config.is_file(), "the simulator's settings")
            for name in PROBED:
                self.ready(name)
            self._start_prometheus()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(list(self._processes)):
            self.stop(name)
        self.cluster.stop()

    @property
    def config(self) -> Path:
        """The gateways' settings, less what their environment says."""
        return self._folder / "shared" / "simulated" / "gateway.toml"

    def url(self, port: int) -> str:
        """Where what listens on a port of compose.yaml is."""
        return f"http://127.0.0.1:{self._port(str(port))}"

    def environment(self, name: str) -> dict[str, str]:
        """The variables of one service."""
        own: Mapping[str, str] = self._services[name].get("environment", {})
        kafka = {"GATEWAY_KAFKA__BOOTSTRAP_SERVERS": self.cluster.bootstrap_servers}
        return {variable: self._here(value) for variable, value in own.items()} | kafka

    def start(self, name: str) -> None:
        """Start a service, or start it again."""
        command = [self._here(part) for part in self._services[name]["command"]]
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                (*self._program, *command), env=os.environ | self.environment(name), stdout=log, stderr=log
            )

    def stop(self, name: str) -> int:
        """SIGTERM, as a roll-out does it, and the exit code."""
        self._processes[name].send_signal(signal.SIGTERM)
        return self._processes[name].wait(PATIENCE)

    def ready(self, name: str) -> None:
        """Wait until a service is ready."""
        self._wait(lambda: self._answers(name), f"{name} to be ready; {self._folder / name}.log says more")

    def ours(self, *command: str) -> str:
        """Run one of the gateway's own commands to its end; what it printed."""
        variables = os.environ | self.environment("topics") | {"GATEWAY_KAFKA__REPLICAS": str(self.cluster.size)}
        return subprocess.run(
            (*self._program, *map(self._here, command)), env=variables, check=True, capture_output=True, text=True
        ).stdout

    def log(self, name: str) -> str:
        """What a service has printed."""
        return (self._folder / f"{name}.log").read_text("utf-8", "replace")

    def _runs(self, name: str) -> bool:
        """True, or RuntimeError with the end of its log."""
        if self._processes[name].poll() is not None:
            raise RuntimeError(f"{name} ended:\n{self.log(name)[-2000:]}")
        return True

    def _answers(self, name: str) -> bool:
        self._runs(name)
        try:
            with urlopen(f"{self.url(PROBED[name])}/readyz", timeout=5) as answer:  # noqa: S310 - our own address
                return answer.status == 200  # noqa: PLR2004
        except (URLError, OSError):
            return False

    def _start_prometheus(self) -> None:
        program = shutil.which("prometheus")
        if program is None:
            return
        config = self._folder / "etc" / "prometheus.yml"
        config.write_text(self._here(config.read_text("utf-8")), "utf-8")
        arguments = (f"--config.file={config}", f"--storage.tsdb.path={self._folder / 'prometheus'}")
        with (self._folder / "prometheus.log").open("ab") as log:
            self._processes["prometheus"] = subprocess.Popen(
                (program, *arguments, f"--web.listen-address=127.0.0.1:{self._port('9090')}"), stdout=log, stderr=log
            )

    def _here(self, text: str) -> str:
        """A text of the files with the ports and folders that it has here."""
        text = ADDRESS.sub(lambda found: self._port(found[1]), text)
        text = text.replace("/etc/leverage-gateway", self._outside(self._folder / "etc"))
        return text.replace("/shared", self._outside(self._folder / "shared"))

    def _port(self, wanted: str) -> str:
        if wanted not in self._ports:
            self._ports[wanted] = wanted if _is_free(int(wanted)) else str(_free_port())
        return self._ports[wanted]

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited in vain for {what}")
            time.sleep(0.1)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> int:
    """Run it in the foreground."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = f"{sys.executable} -m gateway"
    parser.add_argument("--program", default=default, help="the gateway's command (default: %(default)s)")
    program = tuple(shlex.split(parser.parse_args().program))
    stopping = {signal.SIGINT, signal.SIGTERM}
    with tempfile.TemporaryDirectory(prefix="leverage-") as folder:
        try:
            with Topology(program, Path(folder)) as topology:
                print(f"Kafka at {topology.cluster.bootstrap_servers}, settings {topology.config}, logs in {folder}")
                for name, port in (*PROBED.items(), ("prometheus", 9090)):
                    print(f"  {name}: {topology.url(port)}")
                print("Ctrl-C stops it.", flush=True)
                signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
                signal.sigwait(stopping)
        except KafkaMissingError as error:
            print(f"kafka: {error}", file=sys.stderr)
            return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
