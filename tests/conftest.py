"""What every test may ask for: a clock that stands still, a real Kafka broker once a run, and fresh topics on it."""

import os
import resource
import signal
from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.kafka.broker import Cluster, KafkaMissingError
from gateway.kafka.topics import create_topics
from gateway.settings.tree import KafkaSettings, Settings
from schemas.topics import Topics
from tests.kit.clocks import FakeClock

pytest_plugins = ("tests.kafka_report",)


def pytest_configure() -> None:
    """Hear Ctrl-C: a shell that starts the tests in the background has them ignore it, and all that they start too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def core_dumps() -> Generator[None]:
    """What is started meanwhile may dump its core, unless it sees to that itself; many shells forbid it to all."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Generator[str]:
    """`host:port` of a broker: KAFKA_BOOTSTRAP_SERVERS, or one started for this run. Mark tests that use it `kafka`."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        yield given
        return
    cluster = Cluster()
    try:
        cluster.start()
    except KafkaMissingError as missing:
        pytest.skip(f"no Kafka: {missing}")
    yield cluster.bootstrap_servers
    cluster.stop()


@pytest.fixture
async def topics(request: pytest.FixtureRequest, kafka_bootstrap: str) -> Topics:
    """Six new topics of 4 partitions; of n with `@pytest.mark.parametrize("topics", [n], indirect=True)`."""
    run = uuid4().hex[:8]
    names = Topics(
        commands=f"commands-{run}",
        events=f"events-{run}",
        state=f"state-{run}",
        dead_letters=f"dlq-{run}",
        dispositions=f"dispositions-{run}",
        policy=f"policy-{run}",
    )
    partitions: int = getattr(request, "param", 4)
    kafka = KafkaSettings(bootstrap_servers=kafka_bootstrap, topics=names, partitions=partitions)
    await create_topics(Settings(kafka=kafka), base_dir=Path())
    return names
