"""The three-broker cluster that chaos tests break."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.kafka.broker import Cluster

pytestmark = pytest.mark.kafka
LOG = TopicPartition("log", 0)


@pytest.fixture
async def cluster(kafka_bootstrap: str) -> AsyncGenerator[Cluster]:
    """Asks for the one broker first: where that is skipped, so is this."""
    three = Cluster(3)
    await asyncio.to_thread(three.start)
    yield three
    await asyncio.to_thread(three.stop)


async def test_a_cluster_serves_while_one_broker_is_killed_and_keeps_its_records(cluster: Cluster):
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(LOG.topic, 1, 3)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=cluster.bootstrap_servers, enable_idempotence=True)
    await producer.start()
    for node in (0, 1):
        await asyncio.to_thread(cluster.kill, node)
        await producer.send_and_wait(LOG.topic, b"%d" % node, partition=0)
        await asyncio.to_thread(cluster.restart, node)
    await producer.stop()

    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap_servers)
    await consumer.start()
    consumer.assign([LOG])
    consumer.seek(LOG, 0)
    found = [(await consumer.getone()).value for _ in range(2)]
    await consumer.stop()
    assert found == [b"0", b"1"]
