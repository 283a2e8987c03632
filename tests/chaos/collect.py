"""Reads what a run left behind into a History: the four topics to their ends, and the simulator's journal.

To be called when no gateway runs any more; `checker` judges the result.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas.topics import Topics
from tests.chaos.history import Call, History, Record


async def collect(
    bootstrap_servers: str, topics: Topics, simulator_url: str, *, seed: int, deadline: float = 60.0
) -> History:
    """Everything there is now; TimeoutError after `deadline` seconds, as where a transaction stays open."""
    async with asyncio.timeout(deadline):
        names = (topics.commands, topics.events, topics.state, topics.dead_letters)
        commands, events, state, dead_letters = [await read_topic(bootstrap_servers, name) for name in names]
        async with aiohttp.ClientSession() as http:
            calls = await read_journal(http, simulator_url)
            final = await _get(http, f"{simulator_url}/_control/state")
    return History(
        seed=seed,
        commands=commands,
        events=events,
        state=state,
        dead_letters=dead_letters,
        calls=calls,
        final={key: Decimal(value) for key, value in final.items()},
    )


async def read_topic(bootstrap_servers: str, topic: str) -> tuple[Record, ...]:
    """All committed records up to the end that a read_uncommitted reader sees now.

    That end, and not the last stable offset: a transaction that is still open must end before this returns.
    """
    async with _consumer(bootstrap_servers, topic, "read_uncommitted") as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
    async with _consumer(bootstrap_servers, topic, "read_committed") as consumer:
        found = [record for tp, end in ends.items() for record in await _read_to(consumer, tp, end)]
    return tuple(sorted(found, key=lambda record: record.place))


async def read_journal(http: aiohttp.ClientSession, simulator_url: str) -> tuple[Call, ...]:
    """The simulator's journal from its first entry to its last; ValueError where it has forgotten the first."""
    entries: list[Any] = []
    since = 0
    while True:
        page = await _get(http, f"{simulator_url}/_control/journal?since={since}")
        entries += page["entries"]
        if not page["entries"] or page["next"] <= since:
            break
        since = page["next"]
    if entries and entries[0]["seq"] != 1:
        raise ValueError(f"the journal is too small: it begins with entry {entries[0]['seq']}")
    newest = {entry["seq"]: entry for entry in entries}
    calls = msgspec.convert(list(newest.values()), tuple[Call, ...])
    return tuple(sorted(calls, key=lambda call: call.seq))


@asynccontextmanager
async def _consumer(bootstrap_servers: str, topic: str, isolation_level: str) -> AsyncGenerator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=None,  # all partitions, from their beginning
        isolation_level=isolation_level,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _read_to(consumer: AIOKafkaConsumer, tp: TopicPartition, end: int) -> list[Record]:
    # By position, not by the last record's offset: the tail may be transaction markers or aborted records only.
    records: list[Record] = []
    while await consumer.position(tp) < end:
        batches = await consumer.getmany(tp, timeout_ms=200)
        records += [_record(record) for batch in batches.values() for record in batch]
    return records


def _record(record: "ConsumerRecord[bytes | None, bytes | None]") -> Record:
    return Record(
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )


async def _get(http: aiohttp.ClientSession, url: str) -> Any:
    async with http.get(url) as answer:
        answer.raise_for_status()
        return await answer.json()
