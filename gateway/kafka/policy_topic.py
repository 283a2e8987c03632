# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false
# aiokafka ships no types.
"""The policy topic read once to its end, and one record written to it: what the command line does.

`policy_follower` reads the same for as long as a gateway runs. All of it is partition 0, in one order for everybody.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from gateway.kafka.topics import NOT_SEEN
from gateway.kafka_clients import KafkaClients, read_up_to
from gateway.policy.board import Board
from gateway.policy.signatures import OperatorKeys
from schemas.policy import PolicyRecord, encode_policy_record

PATIENCE = 10.0  # seconds for a connection, or one step of reading
SLICE = 200  # records between two turns of the loop
FETCH_WAIT_MS = 100  # a broker answers one connection in order: who asks for the end waits behind a fetch


class PolicyEntry(NamedTuple):
    """One record of the topic, and why it was refused, where it was; `at` in the broker's wall seconds."""

    offset: int
    at: float
    key: str
    value: bytes | None
    objection: str | None


class PolicyTopic(NamedTuple):
    """All that the topic holds."""

    board: Board
    entries: list[PolicyEntry]


@asynccontextmanager
async def policy_consumer(topic: str, clients: KafkaClients) -> AsyncGenerator[AIOKafkaConsumer]:
    """A consumer of the topic's one partition, at its beginning; KafkaError where the topic is not there."""
    consumer = clients.reader(fetch_max_wait_ms=FETCH_WAIT_MS)
    try:
        async with asyncio.timeout(PATIENCE):
            await clients.start(consumer)
            await _find(consumer, topic)
        yield consumer
    finally:
        await clients.stop(consumer)


async def _find(consumer: AIOKafkaConsumer, topic: str) -> None:
    cluster: Any = await consumer._client.fetch_all_metadata()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - to ask for one that is missing may make it
    if topic not in cluster.topics():
        raise KafkaError(f"{topic} {NOT_SEEN}; `leverage-gateway topics create` makes it")
    consumer.assign([TopicPartition(topic, 0)])
    await consumer.seek_to_beginning()


async def read_policy(topic: str, options: Mapping[str, Any], operators: OperatorKeys) -> PolicyTopic:
    """Read the topic to where it ends now; KafkaError or TimeoutError where that cannot be."""
    board, entries = Board(operators), list[PolicyEntry]()
    tp = TopicPartition(topic, 0)
    async with policy_consumer(topic, KafkaClients(options)) as consumer:
        async with asyncio.timeout(PATIENCE):
            ends = await consumer.end_offsets([tp])
        async for records in read_up_to(consumer, ends, patience=PATIENCE, max_records=SLICE):
            entries += [take_entry(board, record) for record in records]
    return PolicyTopic(board, entries)


def take_entry(board: Board, record: Any) -> PolicyEntry:
    """Take one record of the topic in."""
    key = (record.key or b"").decode("utf-8", "replace")
    at = record.timestamp / 1000
    return PolicyEntry(record.offset, at, key, record.value, board.take(key, record.value, at))


async def write_policy(topic: str, options: Mapping[str, Any], record: PolicyRecord) -> int:
    """Write one record, and return its offset when all in-sync replicas have it; KafkaError or TimeoutError else."""
    clients = KafkaClients(options)
    producer = clients.producer(acks="all", enable_idempotence=True)
    try:
        async with asyncio.timeout(PATIENCE):
            await clients.start(producer)
            value = encode_policy_record(record)
            written = await producer.send_and_wait(topic, value, key=record.key.encode(), partition=0)
    finally:
        await clients.stop(producer)
    return int(written.offset)
