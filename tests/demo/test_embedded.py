"""What the gateway asks of a broker, asked of the embedded one."""

import sys
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from gateway.demo.embedded import CONSUMER_OPTIONS, PARTITIONS, EmbeddedMissingError, embedded_broker
from schemas.topics import Topics

TOPICS = Topics()
EVENTS = TopicPartition(TOPICS.events, 2)


@pytest.fixture
async def broker() -> AsyncGenerator[str]:
    async with embedded_broker(TOPICS) as bootstrap_servers:
        yield bootstrap_servers


async def test_all_four_topics_are_there_with_the_same_partitions(broker):
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        found = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
    finally:
        await admin.close()
    assert found == dict.fromkeys(msgspec.structs.astuple(TOPICS), PARTITIONS)


async def test_a_transaction_over_several_topics_is_read_committed(broker):
    producer = AIOKafkaProducer(bootstrap_servers=broker, transactional_id="p-2", retry_backoff_ms=10)
    await producer.start()
    for number in range(3):
        async with producer.transaction():
            await producer.send(EVENTS.topic, b"%d" % number, partition=EVENTS.partition)
            await producer.send(TOPICS.state, b"%d" % number, partition=EVENTS.partition)
    await producer.stop()
    assert await _values(broker, EVENTS, 3) == [b"0", b"1", b"2"]


async def test_a_commit_keeps_its_metadata(broker):
    tp = TopicPartition(TOPICS.commands, 1)
    consumer = AIOKafkaConsumer(
        TOPICS.commands, bootstrap_servers=broker, group_id="g", enable_auto_commit=False, **CONSUMER_OPTIONS
    )
    await consumer.start()
    try:
        await consumer.commit({tp: OffsetAndMetadata(7, "mark 3 clean")})
        coordinator: Any = consumer._coordinator
        found = await coordinator.fetch_committed_offsets([tp])
    finally:
        await consumer.stop()
    assert (found[tp].offset, found[tp].metadata) == (7, "mark 3 clean")


async def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(EmbeddedMissingError, match=r"leverage-gateway\[embedded\]"):
        async with embedded_broker(TOPICS):
            pass


async def _values(broker: str, tp: TopicPartition, count: int) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, isolation_level="read_committed", **CONSUMER_OPTIONS)
    await consumer.start()
    try:
        consumer.assign([tp])
        consumer.seek(tp, 0)
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()
