# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportPrivateUsage=false
# ruff: noqa: SLF001 - aiokafka shows its connections to nobody
"""The end of a topic as it grows: one request at a time to each leader, for all of its partitions.

aiokafka's own fetcher asks again as soon as something came, for whichever partitions are idle, through a dozen turns of
the loop: at a few hundred events a second that cost more than writing them to thousands of readers. What is read, and
which of it was committed, is decided by aiokafka's own parts.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    NotLeaderForPartitionError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.record import MemoryRecords

from gateway.edge.fetch import Fetch

PATIENCE = 10.0  # seconds in which somebody says who leads a partition
NOBODY = -1
MOST_BYTES = 4 * 1024 * 1024
MOST_BYTES_A_PARTITION = 1024 * 1024
MOVED = (LeaderNotAvailableError, NotLeaderForPartitionError, UnknownTopicOrPartitionError)


class Part(NamedTuple):
    """What came of one partition.

    Attributes:
        records: committed ones.
        end: the offset after all that was looked at.
        is_all: whether there was nothing more when it was asked for.
    """

    partition: int
    records: Sequence[Any]
    end: int
    is_all: bool


class _Answer(NamedTuple):
    asked_at: float
    parts: Sequence[Part]
    refused: KafkaError | None


class LogFollower:
    """Reads on from where it is, committed records only.

    Attributes:
        offsets: by partition, what is read next.
    """

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        topic: str,
        offsets: Mapping[int, int],
        options: Mapping[str, Any],
        monotonic: Callable[[], float],
    ) -> None:
        """`consumer` brings the connections; it has the partitions assigned, and is paused. `options` are its."""
        self.offsets = dict(offsets)
        self._current_at = dict.fromkeys(offsets, float("-inf"))
        self._monotonic = monotonic
        self._client: Any = consumer._client
        self._topic = topic
        self._wait_ms: int = options["fetch_max_wait_ms"]
        self._check_crcs: bool = options["check_crcs"]
        self._asked: dict[asyncio.Task[_Answer], int] = {}
        self._error: KafkaError | None = None

    async def read(self) -> list[Part]:
        """What came, from the first leader that answers; nothing, where there was nothing for a moment.

        KafkaError where a leader does not answer, or does not give what it is asked for; it may be called again.
        """
        error, self._error = self._error, None
        if error is not None:
            raise error
        for leader, partitions in (await self._leaders()).items():
            if leader not in self._asked.values():
                self._asked[asyncio.create_task(self._ask(leader, partitions), name="fetch")] = leader
        done, _ = await asyncio.wait(self._asked, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            del self._asked[task]
        return [part for task in done for part in self._take(task)]

    def _take(self, task: "asyncio.Task[_Answer]") -> Sequence[Part]:
        """What an answer brought; what it refused is told at the next turn, so that it holds up nothing else."""
        try:
            asked_at, parts, self._error = task.result()
        except KafkaError as error:
            self._error = error
            return ()
        for part in parts:
            self.offsets[part.partition] = part.end
            if part.is_all:
                self._current_at[part.partition] = asked_at
        return parts

    @property
    def current_at(self) -> float:
        """All that was committed by then was read, in monotonic seconds; negative infinity before that is known."""
        return min(self._current_at.values())

    async def close(self) -> None:
        """Ask no more."""
        for task in self._asked:
            task.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)

    async def _leaders(self) -> dict[int, list[int]]:
        """The partitions of each leader; where one is not known, who knows is asked first."""
        cluster = self._client.cluster
        each = {number: cluster.leader_for_partition(TopicPartition(self._topic, number)) for number in self.offsets}
        if unknown := [number for number, leader in each.items() if leader in {None, NOBODY}]:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._client.force_metadata_update()
            each |= {number: cluster.leader_for_partition(TopicPartition(self._topic, number)) for number in unknown}
        leaders: dict[int, list[int]] = {}
        for number, leader in each.items():
            if leader in {None, NOBODY}:
                raise LeaderNotAvailableError(f"{self._topic}-{number}")
            leaders.setdefault(leader, []).append(number)
        return leaders

    async def _ask(self, leader: int, partitions: Sequence[int]) -> "_Answer":
        asked, asked_at = {partition: self.offsets[partition] for partition in partitions}, self._monotonic()
        each = [(partition, offset, MOST_BYTES_A_PARTITION) for partition, offset in asked.items()]
        request = Fetch(self._wait_ms, 1, MOST_BYTES, READ_COMMITTED, [(self._topic, each)])
        response = await self._client.send(leader, request)
        parts: list[Part] = []
        refused: KafkaError | None = None
        for _topic, answers in response.topics:
            for number, error_code, _high_watermark, *rest in answers:
                try:
                    parts.append(self._part(number, asked[number], error_code, rest))
                except KafkaError as error:
                    refused = error
        return _Answer(asked_at, parts, refused)

    def _part(self, number: int, offset: int, error_code: int, rest: Sequence[Any]) -> Part:
        """`rest`: the end of what is committed, …, the aborted transactions, the replica to read from, the records."""
        if error_code:
            error: type[KafkaError] = for_code(error_code)
            if issubclass(error, MOVED):
                self._client.force_metadata_update()
            raise error(f"{self._topic}-{number}")
        if not rest[-1]:
            return Part(number, (), offset, is_all=offset >= rest[0])
        tp = TopicPartition(self._topic, number)
        aborted = next((field for field in reversed(rest[:-1]) if not isinstance(field, int)), None)
        records = PartitionRecords(
            tp, MemoryRecords(rest[-1]), aborted, offset, None, None, self._check_crcs, READ_COMMITTED
        )
        found = list(records)
        return Part(number, found, records.next_fetch_offset, is_all=records.next_fetch_offset >= rest[0])
