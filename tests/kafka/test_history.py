"""A start knows from the broker whether an earlier life of the group can have called a venue lately."""

import time

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from gateway.kafka.history import is_quiet
from gateway.settings.tree import KafkaSettings
from schemas.topics import Topics

pytestmark = pytest.mark.kafka


@pytest.fixture
def kafka(kafka_bootstrap: str, topics: Topics) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=kafka_bootstrap, topics=topics, group_id=topics.commands)


def options(kafka: KafkaSettings) -> dict[str, str]:
    return {"bootstrap_servers": kafka.bootstrap_servers}


async def commit(kafka: KafkaSettings, partition: int, metadata: str) -> None:
    consumer = AIOKafkaConsumer(**options(kafka), group_id=kafka.group_id, enable_auto_commit=False)
    await consumer.start()
    tp = TopicPartition(kafka.topics.commands, partition)
    consumer.assign([tp])
    await consumer.commit({tp: OffsetAndMetadata(7, metadata)})
    await consumer.stop()


async def write_event(kafka: KafkaSettings, at: float) -> None:
    producer = AIOKafkaProducer(**options(kafka))
    await producer.start()
    await producer.send_and_wait(kafka.topics.events, b"{}", partition=1, timestamp_ms=int(at * 1000))
    await producer.stop()


async def test_a_group_is_quiet_before_its_first_owner_and_after_its_last_one_left_in_order_a_while_ago(kafka):
    now = time.time()
    assert await is_quiet(kafka, options(kafka), since=now - 120.0)
    await commit(kafka, 0, "1 0 0 open")
    assert not await is_quiet(kafka, options(kafka), since=now - 120.0)
    await commit(kafka, 0, "1 1 0 clean")
    assert not await is_quiet(kafka, options(kafka), since=now - 120.0), "it does not tell when it called last"
    await commit(kafka, 0, f"1 1 0 clean {now - 60.0:.0f}")
    assert not await is_quiet(kafka, options(kafka), since=now - 120.0)
    await commit(kafka, 0, f"1 1 0 clean {now - 300.0:.0f}")
    await write_event(kafka, now - 300.0)
    assert await is_quiet(kafka, options(kafka), since=now - 120.0)
    await write_event(kafka, now - 60.0)
    assert not await is_quiet(kafka, options(kafka), since=now - 120.0)


async def test_one_partition_that_was_not_left_in_order_is_enough(kafka):
    await commit(kafka, 0, "1 0 0 clean 0")
    await commit(kafka, 1, "of another program")
    assert not await is_quiet(kafka, options(kafka), since=time.time())


async def test_what_cannot_be_asked_is_not_taken_for_quiet(kafka, unused_tcp_port):
    nowhere = {"bootstrap_servers": f"127.0.0.1:{unused_tcp_port}"}
    assert not await is_quiet(kafka, nowhere, since=time.time())
