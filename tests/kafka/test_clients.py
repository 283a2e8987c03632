"""Clients of Kafka that are cut off as they start, or stopped as they connect, leave no connection open."""

import asyncio
import gc
import warnings
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import ConnectionGroup

from gateway.kafka_clients import start_client, stop_client

MOMENTS = 60
pytestmark = pytest.mark.kafka


async def cut_off(bootstrap: str, turns: int) -> int:
    """Start a client, and cut it off after so many turns of the loop; how many it had, and that it is stopped."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    starting = asyncio.ensure_future(start_client(producer))
    turn = 0
    while turn < turns and not starting.done():
        await asyncio.sleep(0)
        turn += 1
    starting.cancel()
    with suppress(asyncio.CancelledError):
        await starting
    await stop_client(producer)
    return turn


async def test_a_start_that_is_cut_off_at_any_moment_leaves_no_connection_open(kafka_bootstrap):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        whole = await cut_off(kafka_bootstrap, 1_000_000)
        for moment in range(MOMENTS):
            await cut_off(kafka_bootstrap, 1 + whole * moment // MOMENTS)
        gc.collect()
    assert [str(one.message) for one in told] == []


async def test_a_connection_that_is_being_made_while_its_client_stops_is_closed(kafka_bootstrap):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap)
        await start_client(producer)
        node = producer.client.get_random_node()
        async with producer.client._get_conn_lock:
            connecting = asyncio.ensure_future(producer.client._get_conn(node, group=ConnectionGroup.COORDINATION))
            await stop_client(producer)
        assert not (await connecting).connected()
        del producer, connecting
        gc.collect()
    assert [str(one.message) for one in told] == []
