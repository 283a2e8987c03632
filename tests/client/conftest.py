"""Topics with dead letters in them, written by hand as the gateway would, and the desk that works on them."""

import pytest
from aiokafka import AIOKafkaProducer

from gateway.client.dead_letters import open_dead_letters


@pytest.fixture
async def write(kafka_bootstrap):
    """Write records to partition 0 of a topic."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap)
    await producer.start()

    async def send(topic, *records):
        for value, headers in records:
            await producer.send(topic, value, key=b"binance_usdm:desk-1", partition=0, headers=headers)
        await producer.flush()

    yield send
    await producer.stop()


@pytest.fixture
async def desk(kafka_bootstrap, topics):
    async with open_dead_letters({"bootstrap_servers": kafka_bootstrap}, topics, group=topics.commands) as desk:
        yield desk
