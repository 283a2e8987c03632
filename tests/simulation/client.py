"""What `gateway.kafka.group` and `claim` use of aiokafka, and the pipeline's answer log, over the simulated broker.

Each object belongs to the process in whose loop it is made.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, NoReturn

from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    NodeNotReadyError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.structs import OffsetAndMetadata

from gateway.ownership.ledger import LogPosition
from gateway.ownership.ports import LoggedAnswer, OutRecord, Tail
from gateway.ownership.repeats import RepeatWindow
from schemas import decode_event
from schemas.headers import content_type
from tests.simulation.broker import Broker, Entry, command_offset
from tests.simulation.loop import running_process

RETRY = 0.1  # seconds
FETCHES = ((500, 0.0), (2, 0.0), (2, 0.4))  # how many records at most, and after how many seconds


class Fetched(NamedTuple):
    """A record as aiokafka hands it out."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Identity:
    """The private part of aiokafka that tells who we are in the group."""

    group_id = "simulated"

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.generation = -1
        self.member_id = ""

    async def _send_req(self, _heartbeat: object) -> NoReturn:
        """This broker is of a version that cannot be asked whose an instance id is: twins are not drawn here."""
        raise NodeNotReadyError

    async def fetch_committed_offsets(self, wanted: list[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
        offsets = await self._broker.ask(lambda: dict(self._broker.group.offsets))
        return {tp: OffsetAndMetadata(*offsets[tp.partition]) for tp in wanted if tp.partition in offsets}


class SimulatedConsumer:
    """One member of the group."""

    def __init__(self, broker: Broker, options: dict[str, Any]) -> None:
        self.broker = broker
        self._instance_id: str | None = options["group_instance_id"]
        self._heartbeat_interval = options["heartbeat_interval_ms"] / 1000
        self._coordinator = Identity(broker)
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._taken_over: set[TopicPartition] = set()
        self._arrived = asyncio.Event()
        self._rejoin = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._topic = ""
        self._listener: Any = None
        self._fetch = broker.world.random.choice(FETCHES)
        broker.arrivals[running_process()] = self._arrived.set

    def subscribe(self, topics: list[str], listener: Any) -> None:
        self._topic, self._listener = topics[0], listener

    def subscription(self) -> frozenset[str]:
        return frozenset({self._topic})

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._coordinate()), asyncio.create_task(self._beat())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        member_id = self._coordinator.member_id
        if member_id and self._instance_id is None:
            await self.broker.ask(lambda: self.broker.group.leave(member_id))

    async def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        said = {tp.partition: (point.offset, point.metadata) for tp, point in offsets.items()}
        member_id, generation = self._coordinator.member_id, self._coordinator.generation
        try:
            await self.broker.ask(lambda: self.broker.group.commit(member_id, generation, said))
        except (UnknownMemberIdError, IllegalGenerationError) as error:
            self._thrown_out()
            raise CommitFailedError from error

    async def beginning_offsets(self, wanted: list[TopicPartition]) -> dict[TopicPartition, int]:
        return await self.broker.ask(lambda: dict.fromkeys(wanted, 0))

    async def end_offsets(self, wanted: list[TopicPartition]) -> dict[TopicPartition, int]:
        return await self.broker.ask(lambda: {tp: len(self.broker.commands[tp.partition]) for tp in wanted})

    def partitions_for_topic(self, _topic: str) -> set[int]:
        return set(range(len(self.broker.commands)))

    def pause(self, *paused: TopicPartition) -> None:
        self._paused |= set(paused)

    def resume(self, *resumed: TopicPartition) -> None:
        self._paused -= set(resumed)
        self._arrived.set()

    def assignment(self) -> set[TopicPartition]:
        return set(self._positions)

    def paused(self) -> set[TopicPartition]:
        return set(self._paused)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._taken_over.add(tp)
        if tp in self._positions:
            self._positions[tp] = offset

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Fetched]]:
        most, pause = self._fetch
        await asyncio.sleep(pause)
        batches = self._take(min(most, max_records))
        if batches:
            return batches
        self._arrived.clear()
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._arrived.wait()
        except TimeoutError:
            return {}
        return self._take(min(most, max_records))

    def _take(self, max_records: int) -> dict[TopicPartition, list[Fetched]]:
        batches: dict[TopicPartition, list[Fetched]] = {}
        for tp, position in self._positions.items():
            log = self.broker.commands[tp.partition]
            if tp in self._paused or position >= len(log) or self.broker.faults.down:
                continue
            records = log[position : position + max_records]
            batches[tp] = [Fetched(r.partition, r.offset, r.timestamp_ms, r.key, r.value, r.headers) for r in records]
            self._positions[tp] = position + len(records)
            if tp not in self._taken_over:
                process = running_process()
                process.world.errors.append(f"{process.name} was handed {len(records)} records while it took over")
        return batches

    async def _coordinate(self) -> None:
        while True:
            try:
                joined = await self.broker.join(self._coordinator.member_id, self._instance_id)
            except UnknownMemberIdError:
                self._forget()
                continue
            except KafkaError:
                await asyncio.sleep(RETRY)
                continue
            self._rejoin.clear()
            self._coordinator.member_id, self._coordinator.generation = joined.member_id, joined.generation
            assigned = {TopicPartition(self._topic, partition) for partition in joined.partitions}
            self._paused -= assigned
            self._taken_over -= assigned
            committed = self.broker.group.offsets
            self._positions = {tp: committed.get(tp.partition, (0, ""))[0] for tp in assigned}
            self._arrived.set()
            await self._listener.on_partitions_assigned(assigned)
            await self._rejoin.wait()
            await self._listener.on_partitions_revoked(set(self._positions))
            self._positions = {}

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_interval)
            if self._coordinator.generation < 0:
                continue
            member_id, generation = self._coordinator.member_id, self._coordinator.generation
            try:
                await self._heartbeat(member_id, generation)
            except RebalanceInProgressError:
                self._rejoin.set()
            except (UnknownMemberIdError, IllegalGenerationError):
                self._thrown_out()
            except (KafkaError, TimeoutError):
                pass

    async def _heartbeat(self, member_id: str, generation: int) -> None:
        async with asyncio.timeout(self._heartbeat_interval * 3):
            await self.broker.ask(lambda: self.broker.group.heartbeat(member_id, generation))

    def _thrown_out(self) -> None:
        self._forget()
        self._rejoin.set()

    def _forget(self) -> None:
        self._coordinator.generation, self._coordinator.member_id = -1, ""


class SimulatedAnswerLog:
    """The pipeline's `AnswerLog`, as `gateway.kafka.answer_log` keeps it."""

    def __init__(
        self, broker: Broker, *, partition: int, transactional_id: str, transaction_timeout: float, patience: float
    ) -> None:
        self._broker = broker
        self._partition = partition
        self._id = transactional_id
        self._transaction_timeout = transaction_timeout
        self._patience = patience
        self._process = running_process()
        self._epoch: int | None = None
        self._end = LogPosition(0, 0)

    async def fence(self) -> None:
        self._epoch = None
        self._process.weak_point()
        async with asyncio.timeout(self._patience):
            await self._broker.ask(lambda: None)  # who coordinates the id?
            self._epoch = await self._broker.ask(lambda: self._broker.fence(self._id))

    async def write(self, records: Sequence[OutRecord]) -> LogPosition:
        epoch, self._epoch = self._epoch, None
        if epoch is None:
            raise KafkaError("no producer: fence first")
        broker, timeout = self._broker, self._transaction_timeout
        ends = await broker.ask(lambda: broker.begin(self._id, epoch, self._partition, records, timeout))
        await broker.ask(lambda: broker.commit(self._id, epoch))
        self._epoch = epoch
        self._end = self._end.after(LogPosition(*ends))
        return self._end

    async def read(self, start: LogPosition, window: RepeatWindow | None = None, *, lowest: int = 0) -> Tail:
        async with asyncio.timeout(self._patience):
            tail = await self._broker.ask(lambda: self._read(start, window, lowest))
        self._end = self._end.after(tail.end)
        return tail._replace(end=self._end)

    async def close(self) -> None:
        self._epoch = None

    def _read(self, start: LogPosition, window: RepeatWindow | None, lowest: int) -> Tail:
        broker = self._broker
        end = LogPosition(
            broker.stable_end(self._partition, "events"), broker.stable_end(self._partition, "dead_letters")
        )
        since = end.events if window is None else max(0, end.events - window.count)
        recent = broker.read(self._partition, "events", since, end.events)
        events = broker.read(self._partition, "events", start.events, end.events)
        letters = broker.read(self._partition, "dead_letters", start.dead_letters, end.dead_letters)
        offsets = {command_offset(entry.record) for entry in (*events, *letters) if entry.record is not None}
        answered = {offset for offset in offsets if offset >= lowest}
        return Tail(answered, [_told(entry) for entry in recent], end)


def _told(entry: Entry) -> LoggedAnswer:
    assert entry.record is not None
    event = decode_event(entry.record.value or b"", content_type(entry.record.headers))
    return LoggedAnswer(event.key, event.command_id, event.occurred_at.timestamp())


def committed_of(entries: Iterable[Entry]) -> list[tuple[int, Entry]]:
    """The committed records of a whole log with their offsets."""
    return [
        (offset, entry)
        for offset, entry in enumerate(entries)
        if entry.record is not None and entry.transaction.status == "committed"
    ]
