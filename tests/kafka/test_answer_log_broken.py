"""A broker that dies while a new owner reads the answers: the reading fails as Kafka's errors do, and is done again."""

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from deploy.kafka.broker import Cluster
from gateway.clock import SystemClock
from gateway.kafka.answer_log import KafkaAnswerLog
from gateway.kafka.tail import Groups, TailReader
from gateway.kafka.topics import create_topics
from gateway.kafka_clients import KafkaClients
from gateway.ownership.ledger import LogPosition
from gateway.ownership.ports import OutRecord, Tail
from gateway.settings.tree import KafkaSettings, Settings
from schemas.headers import COMMAND_OFFSET
from schemas.topics import Topics

pytestmark = pytest.mark.kafka
TOPICS = Topics(commands="commands", events="events", state="state", dead_letters="dlq")
START = LogPosition(0, 0)


@pytest.fixture
def cluster(kafka_bootstrap: str) -> Generator[Cluster]:
    with Cluster() as cluster:
        yield cluster


async def test_a_broker_killed_under_a_reading_ends_it_in_bounded_time_and_never_by_a_cancellation(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    kafka = KafkaSettings(bootstrap_servers=cluster.bootstrap_servers, topics=TOPICS, partitions=1)
    await create_topics(Settings(kafka=kafka), base_dir=Path())
    log = KafkaAnswerLog(
        clients=KafkaClients({"bootstrap_servers": cluster.bootstrap_servers, "request_timeout_ms": 3_000}),
        topics=TOPICS,
        partition=0,
        transactional_id="test",
        groups=Groups("ours", ()),
        transaction_timeout_ms=10_000,
        patience=3.0,
        clock=SystemClock(),
    )
    await log.fence()
    await log.write([OutRecord("events", b"k", b"{}", [(COMMAND_OFFSET, b"7")])])
    with monkeypatch.context() as patch:
        patch.setattr(TailReader, "read", killing(cluster))
        reading = asyncio.create_task(log.read(START))
        await asyncio.wait([reading], timeout=30.0)
    assert reading.done()
    assert not reading.cancelled()
    assert isinstance(reading.exception(), KafkaError | TimeoutError)
    await asyncio.to_thread(cluster.restart, 0)
    assert await read_in_the_end(log) == {7}
    await log.close()


async def read_in_the_end(log: KafkaAnswerLog):
    """As a takeover does: again, while the broker that came back is not ready for it."""
    async with asyncio.timeout(60):
        while True:
            try:
                return set((await log.read(START)).answered)
            except (KafkaError, TimeoutError):
                await asyncio.sleep(0.2)


def killing(cluster: Cluster):
    """The reading by a consumer whose broker has died since it started."""
    read = TailReader.read

    async def killed(reader: TailReader, *arguments: Any, **more: Any) -> Tail:
        cluster.kill(0)
        return await read(reader, *arguments, **more)

    return killed
