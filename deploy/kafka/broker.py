"""Apache Kafka in KRaft mode on free loopback ports, for tests and development; gone with the process that started it.

`python deploy/kafka/broker.py [--brokers N]` runs one until Ctrl-C; tests import `Cluster`. Standard library only.
"""

import argparse
import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

if __package__:
    from deploy.kafka.jars import KafkaMissingError, classpath, java
else:  # run as a script
    from jars import KafkaMissingError, classpath, java

__all__ = ["Cluster", "KafkaMissingError"]

READY_TIMEOUT = 90.0
JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms64m", "-Xmx512m", "-Dorg.apache.logging.log4j.level=WARN")
# Below Linux's ephemeral range, so that no outgoing connection takes a killed broker's port before its restart.
PORTS = range(20_000, 32_000)
METADATA_V1_OF_NO_TOPICS = struct.pack(">hhihi", 3, 1, 1, -1, 0)


class Cluster:
    """1 to N brokers, each a controller too, with their data in one temporary folder.

    Not thread-safe. A broker that was killed or suspended keeps its port and its data.
    """

    def __init__(self, brokers: int = 1, *, listeners: Mapping[str, str] | None = None, properties: str = "") -> None:
        """`listeners`: further ones of a single broker, each name's security protocol; `properties`: further lines."""
        self.size = brokers
        self._protocols = dict(listeners or {})
        self._properties = properties
        self.listeners: dict[str, str] = {}
        self._java: tuple[str, ...] = ()
        self._folder = Path()
        self._ports: list[int] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._reaper: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """All brokers as `host:port,host:port`."""
        return ",".join(f"127.0.0.1:{port}" for port in self._ports)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Format the storage, start all brokers and wait until they know each other; raises KafkaMissingError."""
        self._java = (java(), *JVM, "-cp", classpath())
        self._folder = Path(tempfile.mkdtemp(prefix="gateway-kafka-"))
        self._reaper = _start_reaper(self._folder)
        try:
            self._configure()
            self._format()
            self._processes = [self._launch(node) for node in range(self.size)]
            for node in range(self.size):
                self._await(node, known=self.size)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill all and remove their data; calling it again does nothing."""
        for node in range(len(self._processes)):
            self.kill(node)
        self._processes = []
        if self._reaper is not None and self._reaper.stdin is not None:
            self._reaper.stdin.close()  # its sign to remove the folder and leave
            self._reaper.wait()
        self._reaper = None

    def kill(self, node: int) -> None:
        """Kill -9 one broker; killing a dead one does nothing."""
        process = self._processes[node]
        if process.returncode is None:
            process.kill()
            process.wait()
            self._tell_reaper(process)

    def restart(self, node: int) -> None:
        """Start one broker again on its port and data, killing it first if it lives; returns when it serves."""
        self.kill(node)
        self._processes[node] = self._launch(node)
        self._await(node, known=1)

    def suspend(self, node: int) -> None:
        """SIGSTOP one broker: its connections stay open and nobody answers."""
        self._processes[node].send_signal(signal.SIGSTOP)

    def resume(self, node: int) -> None:
        """SIGCONT it."""
        self._processes[node].send_signal(signal.SIGCONT)

    def log(self, node: int) -> str:
        """What the broker has printed."""
        return (self._folder / f"{node}.log").read_text(errors="replace")

    def _configure(self) -> None:
        ports = _free_ports(2 * self.size)
        self._ports = ports[: self.size]
        for node in range(self.size):
            text = _properties(node, self._ports[node], ports[self.size :], self._folder / f"{node}")
            text += self._further_listeners(text) + self._properties
            (self._folder / f"{node}.properties").write_text(text)

    def _further_listeners(self, text: str) -> str:
        """Lines that stand after the others of their name, so Kafka takes these."""
        self.listeners = dict(
            zip(self._protocols, map("127.0.0.1:{}".format, _free_ports(len(self._protocols))), strict=True)
        )
        lines: list[str] = []
        further = {
            "listeners": [f"{name}://{address}" for name, address in self.listeners.items()],
            "advertised.listeners": [f"{name}://{address}" for name, address in self.listeners.items()],
            "listener.security.protocol.map": [f"{name}:{protocol}" for name, protocol in self._protocols.items()],
        }
        for key, values in further.items():
            [before] = [line for line in text.splitlines() if line.startswith(f"{key}=")]
            lines.append(",".join([before, *values]))
        return "\n".join(lines) + "\n" if self._protocols else ""

    def _format(self) -> None:
        cluster_id = uuid.uuid4().hex[:22]  # the length that Kafka's own have
        tool = (*self._java, "kafka.tools.StorageTool", "format", "--cluster-id", cluster_id, "--config")
        logs = [(self._folder / f"{node}.format.log").open("wb") for node in range(self.size)]
        started = [
            subprocess.Popen((*tool, str(self._folder / f"{node}.properties")), stdout=log, stderr=subprocess.STDOUT)
            for node, log in enumerate(logs)
        ]
        codes = [process.wait(READY_TIMEOUT) for process in started]
        for node, (log, code) in enumerate(zip(logs, codes, strict=True)):
            log.close()
            if code:
                raise RuntimeError((self._folder / f"{node}.format.log").read_text(errors="replace")[-2000:])

    def _launch(self, node: int) -> subprocess.Popen[bytes]:
        command = (*self._java, "kafka.Kafka", str(self._folder / f"{node}.properties"))
        with (self._folder / f"{node}.log").open("ab") as log:
            # Its own session: Ctrl-C in a terminal is for us, and we stop it in our own time.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self._folder
            )
        self._tell_reaper(process)
        return process

    def _tell_reaper(self, process: subprocess.Popen[bytes]) -> None:
        """Told once, it kills the process when we are gone; told twice, it forgets it."""
        if self._reaper is not None and self._reaper.stdin is not None:
            self._reaper.stdin.write(f"{process.pid}\n".encode())
            self._reaper.stdin.flush()

    def _await(self, node: int, known: int) -> None:
        """Until the broker answers and lists so many brokers, itself among them."""
        deadline = time.monotonic() + READY_TIMEOUT
        while _brokers_known_at(self._ports[node]) < known:
            if self._processes[node].poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"broker {node} did not start:\n{self.log(node)[-3000:]}")
            time.sleep(0.05)


def _properties(node: int, port: int, controller_ports: Sequence[int], data: Path) -> str:
    size = len(controller_ports)
    replicas = min(size, 3)
    in_sync = (replicas + 1) // 2
    voters = ",".join(f"{voter}@127.0.0.1:{voter_port}" for voter, voter_port in enumerate(controller_ports))
    return f"""\
process.roles=broker,controller
node.id={node}
log.dirs={data}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_ports[node]}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.voters={voters}
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=6
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=6
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=8388608
"""


def _free_ports(count: int) -> list[int]:
    ports: list[int] = []
    if not count:
        return ports
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError(f"no {count} free ports from {PORTS.start} to {PORTS.stop}")


def _brokers_known_at(port: int) -> int:
    """How many brokers this one lists in a Metadata answer; 0 where it does not answer yet."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=2) as connection,
            connection.makefile("rb") as answer,
        ):
            connection.sendall(struct.pack(">i", len(METADATA_V1_OF_NO_TOPICS)) + METADATA_V1_OF_NO_TOPICS)
            _, _, brokers = struct.unpack(">iii", answer.read(12))
            return brokers
    except (OSError, struct.error):
        return 0


# The reaper outlives a kill -9 of whoever started the cluster: its stdin closes, and it clears up. (PR_SET_PDEATHSIG
# would be shorter, but fires when the starting *thread* ends, and tests restart brokers from worker threads.)
_REAPER = """
import contextlib, os, shutil, signal, sys
pids = set()
for line in sys.stdin:
    pids ^= {int(line)}
for pid in pids:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


def _start_reaper(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        (sys.executable, "-c", _REAPER, str(folder)), stdin=subprocess.PIPE, start_new_session=True, cwd="/"
    )


def main() -> int:
    """Run a cluster in the foreground until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description="Apache Kafka on free loopback ports, until Ctrl-C.")
    parser.add_argument("--brokers", type=int, default=1, help="how many (three make a replicated cluster)")
    brokers: int = parser.parse_args().brokers
    try:
        with Cluster(brokers) as cluster:
            print(f"Apache Kafka is at {cluster.bootstrap_servers} (no topics yet, data is removed when it stops)")
            print(f"  export KAFKA_BOOTSTRAP_SERVERS={cluster.bootstrap_servers}")
            print(f"  export GATEWAY_KAFKA__BOOTSTRAP_SERVERS={cluster.bootstrap_servers}")
            print(f"Ctrl-C, or kill {os.getpid()}, stops it.", flush=True)
            _await_signal()
    except KafkaMissingError as error:
        print(f"kafka: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:  # before it was ready
        return 130
    return 0


def _await_signal() -> None:
    stopping = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    signal.sigwait(stopping)


if __name__ == "__main__":
    sys.exit(main())
