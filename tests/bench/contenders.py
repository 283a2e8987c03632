"""Who is measured: each a process of its own on the same broker and the same stub."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from deploy.kafka.jars import java
from gateway.app import VENUES
from gateway.kafka.policy_topic import write_policy
from gateway.kafka.topics import create_topics
from gateway.settings.tree import (
    AccountSettings,
    CredentialSettings,
    HttpSettings,
    KafkaSettings,
    LimitSettings,
    Settings,
    VenueSettings,
    VenuesSettings,
)
from schemas.topics import Topics
from tests.app.processes import ROOT, toml
from tests.policy.cost import rules
from tests.policy.desk import applied

PLENTY = 10_000_000
PARTITIONS = 12
RULES = 1_000
LEAST = "floor, the gateway's parts"
POLICY = f"gateway, {RULES:,} rules"


class Deployment(msgspec.Struct, frozen=True):
    """Where a contender works."""

    bootstrap: str
    topics: Topics
    url: str
    folder: Path


def kafka(deployment: Deployment) -> KafkaSettings:
    """The gateway's own settings, and those that its topics are made by."""
    return KafkaSettings(
        bootstrap_servers=deployment.bootstrap,
        topics=deployment.topics,
        partitions=PARTITIONS,
        group_id=deployment.topics.commands,
    )


def _gateway(deployment: Deployment) -> list[str]:
    """Default settings, with every promise on; every command is called, and the limits are never reached."""
    free = LimitSettings(capacity=PLENTY, window=1.0, assume_spent_at_start=False)
    limits = {limit.name: free for limit in VENUES["binance_usdm"].limits}
    for name in ("key", "secret"):
        (deployment.folder / name).write_text("k" * 64)
        (deployment.folder / name).chmod(0o600)
    keys = CredentialSettings(api_key_file="key", api_secret_file="secret")
    settings = Settings(
        kafka=kafka(deployment),
        http=HttpSettings(listen="127.0.0.1:0"),
        venues=VenuesSettings(
            binance_usdm=VenueSettings(base_url=deployment.url, latest_wins=False, deadline=600.0, limits=limits)
        ),
        accounts={"desk": AccountSettings(binance_usdm=keys)},
    )
    config = deployment.folder / "gateway.toml"
    config.write_text(toml(msgspec.to_builtins(settings)))
    return [sys.executable, "-m", "gateway", "run", "--config", str(config)]


def _places(deployment: Deployment) -> list[str]:
    topics = ["--commands", deployment.topics.commands, "--events", deployment.topics.events]
    return ["--bootstrap", deployment.bootstrap, "--url", deployment.url, *topics]


def _floor(deployment: Deployment, *more: str) -> list[str]:
    return [sys.executable, "-m", "tests.bench.floor", *_places(deployment), *more]


def _peer(name: str) -> Callable[[Deployment], list[str]]:
    return lambda deployment: [str(PEERS), "-m", "tests.bench.peers", name, *_places(deployment)]


def _parallel(deployment: Deployment) -> list[str]:
    source = ROOT / "tests" / "bench" / "parallel" / "ParallelConsumer.java"
    return [java(), "-cp", f"{JARS}/*", str(source), *_places(deployment)]


PEERS = Path(os.environ.get("BENCH_PEERS") or ROOT / ".venv" / "peers" / "bin" / "python")
JARS = PEERS.parents[1] / "jars"
PARALLEL = "parallel-consumer"
KEYED_BY_LANE = frozenset({PARALLEL})  # their unit of order is the record's key


CONTENDERS: Mapping[str, Callable[[Deployment], list[str]]] = MappingProxyType(
    {
        "floor": _floor,
        "floor, transactions": lambda deployment: _floor(deployment, "--transactions"),
        LEAST: lambda deployment: _floor(deployment, "--least", "--state", deployment.topics.state),
        "gateway": _gateway,
        POLICY: _gateway,
        **({name: _peer(name) for name in ("ccxt", "python-binance", "faststream")} if PEERS.exists() else {}),
        **({PARALLEL: _parallel} if JARS.exists() else {}),
    }
)
MISSING = (
    *(() if PEERS.exists() else ("ccxt, python-binance, faststream: their environment is made by `make bench`",)),
    *(() if JARS.exists() else ("parallel-consumer: `make bench` fetches it where Maven is",)),
    "Redpanda Connect: not measured here",
)
BASELINE = "floor"


async def prepare(name: str, deployment: Deployment) -> None:
    """Make the topics, and what is on them before a contender starts."""
    await create_topics(Settings(kafka=kafka(deployment)), base_dir=Path())
    if name == POLICY:
        record = applied(rules(RULES, with_step=True))
        await write_policy(deployment.topics.policy, {"bootstrap_servers": deployment.bootstrap}, record)


class Contender:
    """One process that works."""

    def __init__(self, name: str, deployment: Deployment) -> None:
        self._log = (deployment.folder / "log").open("wb")
        self._popen = subprocess.Popen(
            CONTENDERS[name](deployment), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self._popen.poll() is None

    @property
    def cpu(self) -> float:
        """Seconds of a processor that it has used, its threads' too."""
        fields = Path(f"/proc/{self._popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def resident_mib(self) -> float:
        """The most memory that it has had."""
        status: dict[str, Any] = dict(
            line.split(":", 1) for line in Path(f"/proc/{self._popen.pid}/status").read_text().splitlines()
        )
        return int(status["VmHWM"].split()[0]) / 1024

    def stop(self) -> None:
        """kill -9."""
        self._popen.kill()
        self._popen.wait()
        self._log.close()
