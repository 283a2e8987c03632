# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# aiokafka ships no types.
"""Reading the answer topics of one partition to their end, and keeping only what must be remembered of them.

A takeover reads whatever the topics hold since the mark, often on twelve partitions at once beside the heartbeat: so it
reads in slices, gives the loop a turn after each, and looks into an event for nothing but its command's id.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from gateway.clock import Clock
from gateway.kafka_clients import read_up_to
from gateway.ownership.fingerprint import command_id, fingerprint
from gateway.ownership.ledger import LogPosition
from gateway.ownership.ports import ForeignAnswersError, LoggedAnswer, Tail
from gateway.ownership.repeats import RepeatWindow
from schemas.headers import COMMAND_OFFSET, GROUP, header

Record = ConsumerRecord[bytes | None, bytes | None]
SLICE = 100  # records between two turns of the loop


class AnswerPartitions(NamedTuple):
    """The two partitions that tell what is answered."""

    events: TopicPartition
    dead_letters: TopicPartition


class Groups(NamedTuple):
    """Whose answers may be in the log: our group's, and those of the names that it had before."""

    ours: str
    former: Sequence[str]


class TailReader:
    """Reads both partitions once, with a started consumer of no group."""

    def __init__(
        self, consumer: AIOKafkaConsumer, partitions: AnswerPartitions, groups: Groups, *, patience: float, clock: Clock
    ) -> None:
        """`patience`: seconds without progress."""
        self._consumer = consumer
        self._partitions = partitions
        self._groups = groups
        self._patience = patience
        self._clock = clock
        self._answered: dict[int, int] = {}

    async def read(self, start: LogPosition, window: RepeatWindow | None, *, lowest: int) -> Tail:
        """What to remember.

        Raises:
            TimeoutError: the broker stops handing records out.
            ForeignAnswersError: another group has written there from `start` on.
        """
        events, dead_letters = self._partitions
        self._consumer.assign(list(self._partitions))
        async with asyncio.timeout(self._patience):
            ends = await self._consumer.end_offsets(list(self._partitions))
            since = await self._window_start(window, ends[events])
        recent: deque[LoggedAnswer] = deque(maxlen=0 if window is None else window.count)
        not_before = 0.0 if window is None else self._clock.wall() - window.age
        self._consumer.seek(events, min(since, start.events, ends[events]))
        self._consumer.seek(dead_letters, min(start.dead_letters, ends[dead_letters]))

        async for records in self._batches(events, ends[events]):
            for record in records:
                if record.offset >= start.events:
                    self._see_whose(record)
                    self._remember(record, lowest)
                if record.offset >= since and record.timestamp / 1000 >= not_before:
                    recent.extend(_named(record))
        async for records in self._batches(dead_letters, ends[dead_letters]):
            for record in records:
                self._remember(record, lowest)
        end = LogPosition(ends[events], ends[dead_letters])
        async with asyncio.timeout(self._patience):  # asked at last: retention may have deleted some while we read
            beginning = (await self._consumer.beginning_offsets([events]))[events]
        return Tail(self._answered, recent, end, is_complete=beginning <= start.events)

    def _batches(self, tp: TopicPartition, end: int) -> AsyncGenerator[list[Record]]:
        patience, monotonic = self._patience, self._clock.monotonic
        return read_up_to(self._consumer, {tp: end}, patience=patience, max_records=SLICE, monotonic=monotonic)

    def _see_whose(self, record: Record) -> None:
        group = header(record.headers, GROUP)
        if group is not None and group != self._groups.ours and group not in self._groups.former:
            raise ForeignAnswersError(record.topic, record.partition, record.offset, group, self._groups.ours)

    def _remember(self, record: Record, lowest: int) -> None:
        offset = header(record.headers, COMMAND_OFFSET)
        if offset is not None and offset.isdecimal() and int(offset) >= lowest:  # else not of a gateway, or of no use
            self._answered[int(offset)] = fingerprint(record.value, record.headers)

    async def _window_start(self, window: RepeatWindow | None, end: int) -> int:
        if window is None:
            return end
        since_ms = int((self._clock.wall() - window.age) * 1000)
        found = await self._consumer.offsets_for_times({self._partitions.events: max(0, since_ms)})
        by_age = found[self._partitions.events]
        by_count = end - 2 * window.count  # each transaction ends with a marker, which takes an offset too
        return max(by_count, end if by_age is None else by_age.offset)


def _named(record: Record) -> Iterator[LoggedAnswer]:
    """The id that an event answers, under its record key; none where no gateway wrote it."""
    if record.key is None or header(record.headers, COMMAND_OFFSET) is None:
        return
    named = command_id(record.value, record.headers)
    if named is not None:
        with suppress(UnicodeDecodeError):
            yield LoggedAnswer(record.key.decode(), named, record.timestamp / 1000)
