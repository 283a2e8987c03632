"""Clients of Kafka that are cut off as they start leave no connection open."""

import asyncio
import gc
import warnings
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaProducer

from gateway.kafka_clients import start_client, stop_client

pytestmark = pytest.mark.kafka


async def test_a_start_that_is_cut_off_at_any_moment_leaves_no_connection_open(kafka_bootstrap):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for turns in range(1, 40):
            producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap)
            starting = asyncio.ensure_future(start_client(producer))
            for _ in range(turns):
                await asyncio.sleep(0)
            starting.cancel()
            with suppress(asyncio.CancelledError):
                await starting
            await stop_client(producer)
            del producer, starting
        gc.collect()
    assert [str(one.message) for one in told] == []
