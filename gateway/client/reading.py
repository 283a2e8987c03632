# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportUnknownParameterType=false
# aiokafka ships no types.
"""Reads a topic to its end, forwards or backwards in blocks: committed records only, with no consumer group.

Nobody's offsets are moved, and no more than one block of each partition is held at a time, as small as the caller
makes its records.
"""

import asyncio
import heapq
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, NamedTuple, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from gateway.kafka_clients import KafkaClients, read_up_to

PATIENCE = 30.0  # seconds in which a partition hands out something more
FETCH_WAIT_MS = 10  # only what is there is asked for; whatever comes next waits for the fetch under way
BLOCK = 1_000  # offsets
BATCH = 2_000  # records
T = TypeVar("T")


class MissingTopicError(Exception):
    """Raised where a topic is not there; asking Kafka for it could make it with the wrong partitions."""


class Range(NamedTuple):
    """Offsets of one partition: from the first that is there to the first that is not looked at."""

    begin: int
    end: int


class TopicReader:
    """One connection that reads; use it by `open_reader`."""

    def __init__(
        self, consumer: AIOKafkaConsumer, monotonic: Callable[[], float], *, patience: float = PATIENCE
    ) -> None:
        """`patience`: seconds in which the broker answers, or a partition hands out something more."""
        self._consumer = consumer
        self._monotonic = monotonic
        self._patience = patience

    async def partitions(self, topic: str) -> list[TopicPartition]:
        """The partitions of a topic, in their order.

        Raises:
            MissingTopicError: there is no such topic, or this user may not see it.
        """
        async with asyncio.timeout(self._patience):
            cluster: Any = await self._consumer._client.fetch_all_metadata()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - its own question knows subscribed topics only
        if topic not in cluster.topics():
            raise MissingTopicError(f"no topic {topic} at the broker, or this user may not see it")
        there: set[int] = cluster.partitions_for_topic(topic) or set()
        return [TopicPartition(topic, number) for number in sorted(there)]

    async def ranges(self, topic: str, partitions: Iterable[int] | None = None) -> dict[int, Range]:
        """What there is to read now of each partition; MissingTopicError as `partitions`."""
        wanted = None if partitions is None else set(partitions)
        there = await self.partitions(topic)
        return await self.ranges_of([tp for tp in there if wanted is None or tp.partition in wanted])

    async def ranges_of(self, tps: Sequence[TopicPartition]) -> dict[int, Range]:
        """The same of partitions of one topic that are known to be there."""
        if not tps:
            return {}
        async with asyncio.timeout(self._patience):
            begins = await self._consumer.beginning_offsets(tps)
            ends = await self._consumer.end_offsets(tps)
        return {tp.partition: Range(begins[tp], max(begins[tp], ends[tp])) for tp in tps}

    async def ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Where each of these partitions ends now."""
        tps = [TopicPartition(topic, number) for number in partitions]
        if not tps:
            return {}
        async with asyncio.timeout(self._patience):
            ends = await self._consumer.end_offsets(tps)
        return {tp.partition: ends[tp] for tp in tps}

    async def at_time(self, topic: str, times_ms: Mapping[int, int]) -> dict[int, int | None]:
        """The first offset of each partition whose record is of this time or later; None where there is none."""
        if not times_ms:
            return {}
        async with asyncio.timeout(self._patience):
            found = await self._consumer.offsets_for_times(
                {TopicPartition(topic, number): max(0, at) for number, at in times_ms.items()}
            )
        return {tp.partition: None if place is None else place.offset for tp, place in found.items()}

    async def forwards(self, topic: str, ranges: Mapping[int, Range]) -> AsyncGenerator[list[Any]]:
        """Hand out the records of these ranges, oldest first in each partition, in batches.

        Raises:
            TimeoutError: a partition does not hand out what it has.
        """
        ends = {TopicPartition(topic, number): span.end for number, span in ranges.items()}
        positions = {TopicPartition(topic, number): span.begin for number, span in ranges.items()}
        try:
            while left := {tp: end for tp, end in ends.items() if positions[tp] < end}:  # the others are not fetched
                self._consumer.assign(list(left))
                for tp in left:
                    self._consumer.seek(tp, positions[tp])
                reading = read_up_to(
                    self._consumer, left, patience=self._patience, max_records=BATCH, monotonic=self._monotonic
                )
                async for records in reading:
                    yield records
                positions.update({tp: await self._consumer.position(tp) for tp in left})
        finally:
            self._consumer.unsubscribe()  # else it goes on asking

    async def newest_first(
        self, topic: str, ranges: Mapping[int, Range], *, read: Callable[[Any], T], block: int = BLOCK
    ) -> AsyncGenerator[tuple[T, Mapping[int, int]]]:
        """Hand out records newest first over all partitions, each with the offsets from which on all was handed out.

        `read` makes of each record what is held and handed out.
        """
        older = {number: _Older(self, (topic, number), span, read, block) for number, span in ranges.items()}
        reached = {number: span.end for number, span in ranges.items()}
        heads: list[tuple[int, int]] = []
        for number, records in older.items():
            if (timestamp := await records.head()) is not None:
                heapq.heappush(heads, (-timestamp, number))
        while heads:
            _, number = heapq.heappop(heads)
            reached[number], record = older[number].pop()
            yield record, reached
            if (timestamp := await older[number].head()) is not None:
                heapq.heappush(heads, (-timestamp, number))


class _Held(NamedTuple, Generic[T]):
    timestamp: int
    offset: int
    record: T


class _Older(Generic[T]):
    """One partition read backwards, a block at a time."""

    def __init__(
        self,
        reader: TopicReader,
        partition: tuple[str, int],
        span: Range,
        read: Callable[[Any], T],
        block: int,
    ) -> None:
        self._reader = reader
        self._topic, self._partition = partition
        self._begin = span.begin
        self._unread = span.end
        self._read = read
        self._block = block
        self._held: list[_Held[T]] = []

    def pop(self) -> tuple[int, T]:
        """The newest that was not handed out yet, and its offset."""
        held = self._held.pop()
        return held.offset, held.record

    async def head(self) -> int | None:
        """The timestamp of the next one; None where there is none."""
        while not self._held and self._unread > self._begin:
            span = Range(max(self._begin, self._unread - self._block), self._unread)
            async for records in self._reader.forwards(self._topic, {self._partition: span}):
                self._held += [_Held(one.timestamp, one.offset, self._read(one)) for one in records]
            self._unread = span.begin
        return self._held[-1].timestamp if self._held else None


class TopicFollower:
    """Reads one topic on, each time from where it was read to the last time up to its present end."""

    def __init__(self, reader: TopicReader, topic: str, begins: Mapping[int, int]) -> None:
        self._reader = reader
        self._topic = topic
        self._read_to = dict(begins)

    async def read_on(self) -> AsyncGenerator[list[Any]]:
        """Hand out what was written since, in batches."""
        ends = await self._reader.ends(self._topic, self._read_to)
        spans = {number: Range(begin, max(begin, ends[number])) for number, begin in self._read_to.items()}
        async for records in self._reader.forwards(self._topic, spans):
            yield records
        self._read_to = {number: span.end for number, span in spans.items()}


@asynccontextmanager
async def open_reader(
    options: Mapping[str, Any], *, monotonic: Callable[[], float] = time.monotonic
) -> AsyncGenerator[TopicReader]:
    """Connect a reader; `options` are aiokafka's."""
    clients = KafkaClients(options)
    consumer = clients.reader(fetch_max_wait_ms=FETCH_WAIT_MS)
    try:
        async with asyncio.timeout(PATIENCE):
            await clients.start(consumer)
        yield TopicReader(consumer, monotonic)
    finally:
        await clients.stop(consumer)
