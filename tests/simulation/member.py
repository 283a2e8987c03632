"""A consumer that is a member of the group: what `gateway.kafka` uses of aiokafka's, over the broker on paper.

It belongs to the process in whose loop it is made, and fails as the library's does: an error while it parses loses what
other partitions had come to, and a task of its own that ends is told to nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    CorruptRecordException,
    GroupAuthorizationFailedError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import OffsetAndMetadata

from gateway.kafka.static_member import FENCED_INSTANCE_ID
from gateway.kafka.topic_id import MetadataRequest
from gateway.pipeline.command import CommandRecord
from tests.kafka.batch_bytes import batch, record
from tests.kit.world import running_process
from tests.simulation.broker import TOPICS, Broker

RETRY = 0.1  # seconds
ON_DISK = 2  # the bit that is wrong where a record is kept; on the way it is another
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

    def __init__(self, broker: Broker, close: Callable[[], Awaitable[None]]) -> None:
        self._broker = broker
        self.generation = -1
        self.member_id = ""
        self.close = close
        self._coordination_task: asyncio.Task[None] | None = None

    def end(self) -> None:
        """Cancel the coordination, as an await inside it may."""
        if self._coordination_task is not None:
            self._coordination_task.cancel()

    def check_errors(self) -> None:
        """Raise what ended the coordination into whoever comes next: a cancellation too."""
        if self._coordination_task is not None and self._coordination_task.done():
            self._coordination_task.result()

    async def _send_req(self, request: Any) -> SimpleNamespace:
        """Answer what the library does not ask: a heartbeat that names an instance id, and for a topic's id."""
        if isinstance(request, MetadataRequest):
            number = await self._broker.ask(lambda: len(self._broker.former_commands))
            return SimpleNamespace(topics=[(0, TOPICS.commands, b"%16d" % number)])
        _, _, member_id, instance_id = request._fields
        replaced = await self._broker.ask(lambda: self._broker.group.is_replaced(member_id, instance_id))
        return SimpleNamespace(error_code=FENCED_INSTANCE_ID if replaced else 0)

    async def fetch_committed_offsets(self, wanted: list[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
        offsets = await self._broker.ask(lambda: dict(self._broker.group.offsets))
        return {tp: OffsetAndMetadata(*offsets[tp.partition]) for tp in wanted if tp.partition in offsets}


class SimulatedMember:
    """One member of the group."""

    def __init__(self, broker: Broker, options: dict[str, Any]) -> None:
        self.broker = broker
        self._instance_id: str | None = options["group_instance_id"]
        self._heartbeat_interval = options["heartbeat_interval_ms"] / 1000
        self._coordinator = Identity(broker, self._leave)
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._taken_over: set[TopicPartition] = set()
        self._arrived = asyncio.Event()
        self._assigned = asyncio.Event()
        self._rejoin = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._client = RawConnection(broker)
        self._fetcher = SimpleNamespace(_fetch_task=None)
        self._failing = asyncio.Event()
        self._may_not_read_the_group = False
        self._topic = ""
        self._listener: Any = None
        self._fetch = broker.world.random.choice(FETCHES)
        broker.arrivals[running_process()] = self._arrived.set

    def subscribe(self, topics: list[str], listener: Any) -> None:
        self._topic, self._listener = topics[0], listener

    def subscription(self) -> frozenset[str]:
        return frozenset({self._topic})

    async def start(self) -> None:
        self._coordinator._coordination_task = asyncio.create_task(self._coordinate())
        self._fetcher._fetch_task = asyncio.create_task(self._fail())
        self._tasks = [self._coordinator._coordination_task, self._fetcher._fetch_task]
        self._tasks.append(asyncio.create_task(self._beat()))
        self.broker.failures[running_process()] = self._fail_somewhere

    def _fail_somewhere(self) -> None:
        """One of its tasks ends: by an error, or by a cancellation that nobody asked for."""
        end = self.broker.world.random.choice([self._failing.set, self._coordinator.end])
        end()

    async def _fail(self) -> None:
        """The library's fetch task: it ends with an error that it does not know."""
        await self._failing.wait()
        raise RuntimeError("a task of the client library met what it does not know")

    async def stop(self) -> None:
        await self._leave()

    async def _leave(self) -> None:
        tasks, self._tasks = self._tasks, []
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        member_id = self._coordinator.member_id
        if member_id and self._instance_id is None:
            await self.broker.ask(lambda: self.broker.group.leave(member_id))

    async def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        said = {tp.partition: (point.offset, point.metadata) for tp, point in offsets.items()}
        member_id, generation = self._coordinator.member_id, self._coordinator.generation
        if "group" in self.broker.faults.missing_rights:
            raise GroupAuthorizationFailedError
        try:
            await self.broker.ask(lambda: self.broker.group.commit(member_id, generation, said))
        except (UnknownMemberIdError, IllegalGenerationError) as error:
            self._thrown_out()
            raise CommitFailedError from error

    async def beginning_offsets(self, wanted: list[TopicPartition]) -> dict[TopicPartition, int]:
        return await self.broker.ask(lambda: {tp: self.broker.begin(*tp) for tp in wanted})

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

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._taken_over.add(tp)
        if tp in self._positions:
            self._positions[tp] = offset

    async def getmany(
        self, *wanted: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[Fetched]]:
        self._coordinator.check_errors()
        most, pause = self._fetch
        await asyncio.sleep(pause)
        await self._assigned.wait()  # however long a rebalance takes, and for ever where the coordination has ended
        if self._may_not_read_the_group:
            raise GroupAuthorizationFailedError
        if "read" in self.broker.faults.missing_rights:
            raise TopicAuthorizationFailedError
        batches = self._take(wanted, min(most, max_records))
        if batches:
            return batches
        self._arrived.clear()
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._arrived.wait()
        except TimeoutError:
            return {}
        return self._take(wanted, min(most, max_records))

    def _take(self, wanted: Collection[TopicPartition], max_records: int) -> dict[TopicPartition, list[Fetched]]:
        batches: dict[TopicPartition, list[Fetched]] = {}
        if self._failing.is_set():
            return batches
        for tp, position in self._positions.items():
            log = self.broker.commands[tp.partition]
            if position > len(log) or position < self.broker.begin(*tp):
                self._positions[tp] = self.broker.begin(*tp)  # out of range: `auto_offset_reset`
                continue
            if (wanted and tp not in wanted) or tp in self._paused or position >= len(log) or self.broker.faults.down:
                continue
            records = log[position : position + max_records]
            if self.broker.world.random.random() < self.broker.faults.damaged or any(
                map(self.broker.is_rotten, records)
            ):
                raise CorruptRecordException
            for one in records:
                _parse(one)
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
            self._assigned.set()
            await self._listener.on_partitions_assigned(assigned)
            await self._rejoin.wait()
            self._assigned.clear()
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
            except GroupAuthorizationFailedError:
                self._may_not_read_the_group = True
                return
            except (KafkaError, TimeoutError):
                pass

    async def _heartbeat(self, member_id: str, generation: int) -> None:
        async with asyncio.timeout(self._heartbeat_interval * 3):
            if "group" in self.broker.faults.missing_rights:
                raise GroupAuthorizationFailedError
            await self.broker.ask(lambda: self.broker.group.heartbeat(member_id, generation))

    def _thrown_out(self) -> None:
        self._forget()
        self._rejoin.set()

    def _forget(self) -> None:
        self._coordinator.generation, self._coordinator.member_id = -1, ""


class RawConnection:
    """The private part of aiokafka that sends a request to a broker, for fetches that are parsed elsewhere."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.cluster = SimpleNamespace(leader_for_partition=lambda _: 0)

    async def send(self, _node: int, request: FetchRequest) -> SimpleNamespace:
        ((topic, ((partition, offset, _),)),) = request.topics
        offset = max(offset, self._broker.begin(topic, partition))
        data = await self._broker.ask(lambda: b"".join(self._batches(self._broker.commands[partition][offset:])))
        if data and self._broker.world.random.random() < self._broker.faults.damaged:
            data = damaged(data, 1)
        return SimpleNamespace(topics=[(topic, [(partition, 0, offset, offset, [], data)])])

    def _batches(self, records: Sequence[CommandRecord]) -> Iterator[bytes]:
        for one in records:
            yield damaged(batch_of(one), ON_DISK) if self._broker.is_rotten(one) else batch_of(one)


def batch_of(one: CommandRecord) -> bytes:
    """A batch for each record, as a producer sends that waits for each."""
    headers = [(_name_bytes(name), content) for name, content in one.headers]
    return batch(record(0, one.key, one.value, headers), base=one.offset, first=one.timestamp_ms)


def damaged(data: bytes, bit: int) -> bytes:
    """With a bit of its last byte that is wrong."""
    return data[:-1] + bytes([data[-1] ^ bit])


def _name_bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _parse(one: CommandRecord) -> None:
    """As the library does: a header's name must be UTF-8."""
    for name, _ in one.headers:
        _name_bytes(name).decode()
