# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001 - aiokafka shows its connections to nobody
"""Fetching commands so that no record ends the process, and none is passed over because of another.

Before it the broker; after it `group` feeds partitions. The client library parses all it fetched in one go: one record
that it cannot read raises for all partitions, and what else it had moved on over is lost. So who raises here is not
asked again: every partition goes back to where it was handed out, and its next batches are read by `batches`.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CorruptRecordException, KafkaError, for_code
from aiokafka.protocol.fetch import FetchRequest

from gateway.clock import Clock
from gateway.kafka.batches import DamagedBatchError, Handout, first_batch, read_batches, unreadable
from gateway.kafka.commands_topic import CommandsTopic, TopicMadeAnewError
from gateway.kafka.inflation import bound_inflation
from gateway.pipeline.command import CommandRecord

MOST_BYTES = 1024 * 1024  # of one partition at once; a larger batch comes whole all the same
READ_COMMITTED = 1
NOWHERE = TopicPartition("", 0)  # asked for where nothing is wanted, so that the library sees that we live
# Of a batch whose checksum is wrong: what is damaged on the way, or by a broker in need, heals; on disk it does not.
DAMAGED_FOR = 10.0  # seconds until it is passed over
DAMAGE_PAUSE = 0.05  # between two tries


class FetchObserver(Protocol):
    """Who is told of what could not be read."""

    def unparsed(self, error: BaseException) -> None:
        """The client library could not parse what it fetched; it is read without it."""
        ...

    def damaged(self, partition: int, error: BaseException) -> None:
        """A batch's checksum is wrong; it is fetched again, and at last passed over with a dead letter."""
        ...


class CommandReader:
    """Fetches the partitions of commands that it was told to start."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        topic: CommandsTopic,
        *,
        patience: float,
        clock: Clock,
        observer: FetchObserver,
    ) -> None:
        """`patience`: seconds for one fetch made without the library, which decompresses with our bound from now on."""
        bound_inflation()
        self._consumer = consumer
        self._topic = topic
        self._patience = patience
        self._clock = clock
        self._observer = observer
        self._positions: dict[TopicPartition, int] = {}
        self._starts = 0  # and ends: what was fetched before one is of other positions
        self._damaged: dict[TopicPartition, float] = {}  # since when

    def start(self, tp: TopicPartition, offset: int) -> None:
        """Fetch a partition from an offset on."""
        self._starts += 1
        self._positions[tp] = offset
        self._consumer.seek(tp, offset)
        self._consumer.resume(tp)

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """Take note that partitions are not ours any more."""
        self._starts += 1
        for tp in partitions:
            self._positions.pop(tp, None)
            self._damaged.pop(tp, None)

    def unread(self) -> dict[int, int]:
        """How far the broker's end of each partition was ahead, when it was last fetched from.

        The end that transactions leave visible; their markers are offsets too, so one may stay where all is read.
        """
        ends = {tp: self._consumer.last_stable_offset(tp) for tp in self._positions if self._is_assigned(tp)}
        return {tp.partition: max(0, end - self._positions[tp]) for tp, end in ends.items() if end is not None}

    def _is_assigned(self, tp: TopicPartition) -> bool:
        return tp in self._consumer.assignment()

    async def fetch(
        self, *, timeout_ms: int, max_records: int, full: Collection[TopicPartition] = ()
    ) -> Mapping[TopicPartition, Sequence[CommandRecord]]:
        """Return what has come, each partition in order.

        Raises:
            KafkaError, TimeoutError: the broker says no, or nothing.
            TopicMadeAnewError: what has come is of another topic.

        `full`: partitions of which nothing is wanted now. They are not paused: the library would throw away what it has
        of them, and ask for them again only once its present fetch of the others is over.
        """
        self._see_topic()
        wanted = [tp for tp in self._positions if tp not in full] or [NOWHERE] if full else []  # none: of all there are
        try:
            batches = await self._consumer.getmany(*wanted, timeout_ms=timeout_ms, max_records=max_records)
        except CorruptRecordException as error:
            return await self._read_all(full, error)
        except KafkaError:
            self._go_back()
            raise
        except Exception as error:  # noqa: BLE001 - a parser raises whatever the bytes make it
            return await self._read_all(full, error)
        if not await self._is_ours(batches):
            return {}
        found = {tp: [_command_record(record) for record in records] for tp, records in batches.items()}
        for tp, records in found.items():
            if records and tp in self._positions:
                self._follow(tp, records)
        return found

    async def _is_ours(self, fetched: Collection[TopicPartition]) -> bool:
        """Whether what was fetched is of the topic whose positions we have, and these are what they were."""
        if not fetched or self._topic.is_fresh:
            return True
        starts = self._starts
        try:
            await self._topic.check()
        except BaseException:
            self._go_back()
            raise
        if starts != self._starts:
            self._go_back()
        return starts == self._starts

    def _see_topic(self) -> None:
        """KafkaError where nothing is assigned because there is nothing to see: that is no standing by."""
        topics = () if self._positions else self._consumer.subscription()
        for topic in topics:
            if not self._consumer.partitions_for_topic(topic):
                raise KafkaError(f"{topic} is not there, or this user may not see it (Read)")

    def _follow(self, tp: TopicPartition, records: Sequence[CommandRecord]) -> None:
        """Take note of what was handed out; TopicMadeAnewError where it comes before it."""
        if records[0].offset < self._positions[tp]:
            raise TopicMadeAnewError(f"{tp} goes back to offset {records[0].offset}")
        self._positions[tp] = records[-1].offset + 1

    def _go_back(self) -> None:
        for tp, position in self._positions.items():
            if self._is_assigned(tp):
                self._consumer.seek(tp, position)

    async def _read_all(
        self, full: Collection[TopicPartition], error: BaseException
    ) -> Mapping[TopicPartition, Sequence[CommandRecord]]:
        self._observer.unparsed(error)
        self._go_back()
        handouts: dict[TopicPartition, tuple[int, Handout]] = {}
        failure: KafkaError | TimeoutError | None = None
        for tp in [tp for tp in self._positions if tp not in full and self._is_assigned(tp)]:
            start = self._positions.get(tp)
            if start is None:
                continue  # taken from us while another was read
            try:
                handouts[tp] = start, await self._read(tp, start)
            except (KafkaError, TimeoutError) as broken:
                failure = broken
        if self._damaged or not handouts:
            await asyncio.sleep(DAMAGE_PAUSE)
        if failure is not None and not handouts:
            raise failure
        if not await self._is_ours(handouts):
            return {}
        # Only now, and without a pause: a position that moves before its records are returned loses them.
        return {tp: handout.records for tp, (start, handout) in handouts.items() if self._move(tp, start, handout)}

    async def _read(self, tp: TopicPartition, start: int) -> Handout:
        """One fetch of a partition, parsed here."""
        data, aborted = await self._fetch_raw(tp, start)
        try:
            handout = read_batches(tp.partition, start, data, aborted)
        except DamagedBatchError as error:
            return self._give_up_or_wait(tp, start, data, error)
        self._damaged.pop(tp, None)
        return handout

    def _give_up_or_wait(self, tp: TopicPartition, start: int, data: bytes, error: DamagedBatchError) -> Handout:
        now = self._clock.monotonic()
        since = self._damaged.setdefault(tp, now)
        self._observer.damaged(tp.partition, error)
        batch = first_batch(data)
        if now < since + DAMAGED_FOR or batch is None:
            return Handout([], start)
        del self._damaged[tp]
        return Handout([unreadable(tp.partition, batch, str(error))], batch.last_offset + 1)

    def _move(self, tp: TopicPartition, start: int, handout: Handout) -> bool:
        """Whether the partition is still ours and where it was, and so stands behind the handout now."""
        if self._positions.get(tp) != start or not self._is_assigned(tp):
            return False
        self._positions[tp] = handout.next_offset
        self._consumer.seek(tp, handout.next_offset)
        return True

    async def _fetch_raw(self, tp: TopicPartition, offset: int) -> tuple[bytes, tuple[tuple[int, int], ...]]:
        client: Any = self._consumer._client
        leader = client.cluster.leader_for_partition(tp)
        if leader is None or leader < 0:
            raise KafkaError(f"no leader of {tp} is known")
        request = FetchRequest(0, 1, MOST_BYTES, READ_COMMITTED, [(tp.topic, [(tp.partition, offset, MOST_BYTES)])])
        async with asyncio.timeout(self._patience):
            response = await client.send(leader, request)
        for _, partitions in response.topics:
            for _, error_code, _, *rest in partitions:
                if error_code:
                    raise for_code(error_code)(str(tp))
                aborted = next((part for part in rest if isinstance(part, list)), None) or []
                return bytes(rest[-1] or b""), tuple((producer, first) for producer, first in aborted)
        return b"", ()


def _command_record(record: "ConsumerRecord[bytes | None, bytes | None]") -> CommandRecord:
    return CommandRecord(
        record.partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers)
    )
