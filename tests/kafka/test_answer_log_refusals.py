"""A transaction of which the broker refuses a part is not committed at all, and what can be made smaller is."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from gateway.clock import SystemClock
from gateway.kafka.answer_log import KafkaAnswerLog
from gateway.kafka.connection import client_options
from gateway.kafka.tail import Groups
from gateway.kafka_clients import KafkaClients
from gateway.ownership.ports import OutRecord, RecordRefusedError
from gateway.settings.tree import KafkaSettings
from schemas.topics import Topics

pytestmark = pytest.mark.kafka
SMALL = {"max.message.bytes": "600"}


async def make_topics(bootstrap, small):
    run = uuid4().hex[:8]
    topics = Topics(
        commands=f"c-{run}", events=f"e-{run}", state=f"s-{run}", dead_letters=f"d-{run}", dispositions=f"do-{run}"
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics(
        [
            NewTopic(getattr(topics, role), 1, 1, topic_configs=SMALL if role == small else {})
            for role in ("commands", "events", "state", "dead_letters")
        ]
    )
    await admin.close()
    return topics


def answer_log(bootstrap, topics):
    options = client_options(KafkaSettings(bootstrap_servers=bootstrap), Path())
    return KafkaAnswerLog(
        clients=KafkaClients(options),
        topics=topics,
        partition=0,
        transactional_id=f"test-{uuid4().hex}",
        groups=Groups("ours", ()),
        transaction_timeout_ms=10_000,
        patience=10.0,
        clock=SystemClock(),
    )


async def committed(bootstrap, topic):
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed")
    await consumer.start()
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    await consumer.seek_to_beginning(partition)
    end = (await consumer.end_offsets([partition]))[partition]
    values = []
    while await consumer.position(partition) < end:
        for batch in (await consumer.getmany(timeout_ms=100)).values():
            values += [record.value for record in batch]
    await consumer.stop()
    return values


@pytest.mark.parametrize("small", ["state", "dead_letters"])
async def test_where_one_topic_takes_no_record_of_this_size_nothing_of_the_transaction_is_committed(
    kafka_bootstrap, small
):
    topics = await make_topics(kafka_bootstrap, small)
    log = answer_log(kafka_bootstrap, topics)
    await log.fence()
    with pytest.raises(RecordRefusedError) as refused:
        await log.write([OutRecord("events", b"k", b"said", ()), OutRecord(small, b"k", b"x" * 900, ())])
    assert refused.value.is_too_large
    assert refused.value.topic == small
    await log.fence()
    await log.write([OutRecord("events", b"k", b"said", ()), OutRecord(small, b"k", b"x" * 90, ())])
    assert await committed(kafka_bootstrap, topics.events) == [b"said"]
    assert await committed(kafka_bootstrap, getattr(topics, small)) == [b"x" * 90]
    await log.close()


async def test_what_the_client_itself_holds_to_be_too_large_is_refused_like_that(kafka_bootstrap):
    topics = await make_topics(kafka_bootstrap, None)
    log = answer_log(kafka_bootstrap, topics)
    await log.fence()
    with pytest.raises(RecordRefusedError) as refused:
        await log.write([OutRecord("events", b"k", b"said", ()), OutRecord("dead_letters", b"k", b"x" * 9_000_000, ())])
    assert refused.value.is_too_large
    assert await asyncio.wait_for(committed(kafka_bootstrap, topics.events), 20) == []
    await log.close()
