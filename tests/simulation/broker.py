"""Kafka on paper: the topics with their transactions and fencing, and the coordinator of the one group.

`client` reaches it over a network that delays, loses requests and loses answers; here everything happens at once.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from aiokafka.errors import (
    ConcurrentTransactions,
    IllegalGenerationError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    RebalanceInProgressError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
)

from gateway.pipeline.command import CommandRecord
from schemas.headers import COMMAND_OFFSET
from schemas.topics import Topics
from tests.chaos.history import Ownership
from tests.clocks import NOON
from tests.simulation.loop import Handle, Process, World, running_process

T = TypeVar("T")

TOPICS = Topics()
ANSWER_TOPICS = (TOPICS.events, TOPICS.state, TOPICS.dead_letters)
MARKERS_TAKE = 0.02  # seconds at most from the answer to a commit until all can read it
LARGEST_BATCH = 1_000_000  # bytes; of a topic that nobody made smaller


class Transaction:
    """Open until it is committed or aborted."""

    __slots__ = ("status",)

    def __init__(self) -> None:
        self.status: Literal["open", "committed", "aborted"] = "open"


class Written(NamedTuple):
    """A record as a producer hands it over."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """Bytes, near enough."""
        return len(self.key or b"") + len(self.value or b"") + sum(len(name) + len(one) for name, one in self.headers)


class Entry(NamedTuple):
    """One record of an answer topic; no record: the marker of a transaction's end."""

    at: float
    transaction: Transaction
    record: Written | None


class ProducerId(NamedTuple):
    """Who produces: a transactional id, and the epoch of its last fence."""

    name: str
    epoch: int


class Assignment(NamedTuple):
    """What a member gets by joining."""

    member_id: str
    generation: int
    partitions: tuple[int, ...]


class Member:
    """One member of the group as its coordinator knows it."""

    def __init__(self, member_id: str, instance_id: str | None, process: str) -> None:
        self.id = member_id
        self.process = process
        self.instance_id = instance_id
        self.heard_at = 0.0
        self.waits: Callable[[Assignment | KafkaError], None] | None = None
        self.partitions: tuple[int, ...] = ()


Right = Literal["write", "read", "group"]
RIGHTS: tuple[Right, ...] = ("write", "read", "group")


class Faults:
    """How badly the way to the broker goes; shares of all requests."""

    def __init__(self) -> None:
        self.down = False
        self.lost_requests = 0.0
        self.lost_answers = 0.0
        self.slow = 0.0
        self.damaged = 0.0  # fetches with a wrong checksum, for what happens on the way
        self.missing_rights: set[Right] = set()


class Broker:
    """Every topic and the group."""

    def __init__(self, world: World, partitions: int, *, session_timeout: float, rebalance_timeout: float) -> None:
        self.world = world
        self.faults = Faults()
        self.commands: list[list[CommandRecord]] = [[] for _ in range(partitions)]
        self.answers: list[dict[str, list[Entry]]] = [{topic: [] for topic in ANSWER_TOPICS} for _ in range(partitions)]
        self.largest_batch = dict.fromkeys(ANSWER_TOPICS, LARGEST_BATCH)
        self.answered: set[tuple[int, int]] = set()
        self.arrivals: dict[Process, Callable[[], None]] = {}
        self.failures: dict[Process, Callable[[], None]] = {}  # ends a task of a process's client library
        self.group = Coordinator(world, partitions, session_timeout, rebalance_timeout)
        self._epochs: dict[str, int] = {}
        self._open: dict[str, tuple[Transaction, int]] = {}
        self._produced: dict[tuple[str, int, int], int] = {}  # id, epoch, request: the offset that it got
        self._committed: dict[str, int] = {}  # id: the epoch of the last commit
        self._ending: set[str] = set()  # ids: committed, and the markers that say so are not all written

    async def ask(self, execute: Callable[[], T]) -> T:
        """A request and its answer, over the network: it may fail before or after it was executed."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.world.after(self._leg(), self._receive, execute, answer)
        return await answer

    async def join(self, member_id: str, instance_id: str | None) -> Assignment:
        """A JoinGroup and SyncGroup: answered when the rebalance is complete."""
        answer: asyncio.Future[Assignment] = asyncio.get_running_loop().create_future()
        process = running_process().name

        def respond(result: Assignment | KafkaError) -> None:
            self.world.after(self._leg(), _resolve, answer, result)

        def receive() -> None:
            if self.faults.down:
                respond(KafkaConnectionError())
            else:
                self.group.join(member_id, instance_id, process, respond)

        self.world.after(self._leg(), receive)
        return await answer

    def produce(self, record: CommandRecord) -> None:
        """A strategy engine sends a command."""
        self.commands[record.partition].append(record)
        for process, arrival in self.arrivals.items():
            if process.alive:
                self.world.schedule(self.world.now + self._leg(), process, Handle(arrival, ()))

    def fence(self, transactional_id: str) -> int:
        """A new epoch; what an earlier one left open is aborted, and what is committed is so for all to see."""
        if transactional_id in self._ending:
            raise ConcurrentTransactions
        self._abort(transactional_id)
        self._epochs[transactional_id] = self._epochs.get(transactional_id, 0) + 1
        return self._epochs[transactional_id]

    def append(
        self,
        producer: ProducerId,
        request: int,
        place: tuple[str, int],
        records: Collection[Written],
        timeout: float,
    ) -> int:
        """Take a batch of a transaction's records, once however often it is sent; the offset of its first."""
        topic, partition = place
        name, epoch = producer
        self._check(producer)
        if name in self._ending:
            raise ConcurrentTransactions
        if "write" in self.faults.missing_rights:
            raise TopicAuthorizationFailedError
        if (name, epoch, request) in self._produced:
            return self._produced[name, epoch, request]
        if sum(record.size for record in records) > self.largest_batch[topic]:
            raise MessageSizeTooLargeError
        if name not in self._open:
            self._open[name] = Transaction(), partition
            self.world.after(timeout, self._time_out, name, self._open[name][0])
        log, transaction = self.answers[partition][topic], self._open[name][0]
        self._produced[name, epoch, request] = len(log)
        log += [Entry(self.world.now, transaction, record) for record in records]
        return self._produced[name, epoch, request]

    def commit(self, producer: ProducerId) -> None:
        """Make a transaction's records visible; to say it again changes nothing."""
        self._check(producer)
        name, epoch = producer
        if name in self._open:
            self._committed[name] = epoch
            self._ending.add(name)
            self.world.after(self.world.random.uniform(0, MARKERS_TAKE), self._write_markers, name)
        elif self._committed.get(name) != epoch:
            raise ProducerFenced

    def abort(self, producer: ProducerId) -> None:
        """Take a transaction back."""
        self._check(producer)
        self._abort(producer.name)

    def _write_markers(self, name: str) -> None:
        self._ending.discard(name)
        self._end(name, "committed")

    def _check(self, producer: ProducerId) -> None:
        if self._epochs.get(producer.name) != producer.epoch:
            raise ProducerFenced

    def stable_end(self, topic: str, partition: int) -> int:
        """The last stable offset."""
        log = self.answers[partition][topic]
        return next((offset for offset, entry in enumerate(log) if entry.transaction.status == "open"), len(log))

    def read(self, topic: str, partition: int, start: int, most: int) -> list[tuple[int, Entry]]:
        """The records from an offset on up to the last stable one, markers and aborted ones with them."""
        end = min(self.stable_end(topic, partition), start + most)
        return list(enumerate(self.answers[partition][topic][start:end], start))

    def _abort(self, transactional_id: str) -> None:
        if transactional_id in self._open:
            self._end(transactional_id, "aborted")

    def _time_out(self, transactional_id: str, transaction: Transaction) -> None:
        if transaction.status == "open" and transactional_id not in self._ending:
            self.fence(transactional_id)

    def _end(self, transactional_id: str, status: Literal["committed", "aborted"]) -> None:
        transaction, partition = self._open.pop(transactional_id)
        transaction.status = status
        for topic, log in self.answers[partition].items():
            written = [entry for entry in log if entry.transaction is transaction and entry.record is not None]
            if written:
                log.append(Entry(self.world.now, transaction, None))
            if status == "committed" and topic != TOPICS.state:
                self.answered |= {(partition, command_offset(entry.record)) for entry in written if entry.record}

    def _receive(self, execute: Callable[[], Any], answer: "asyncio.Future[Any]") -> None:
        chance = self.world.random.random()
        if self.faults.down or chance < self.faults.lost_requests:
            self._respond(answer, KafkaConnectionError())
            return
        try:
            result = execute()
        except KafkaError as error:
            result = error
        if chance > 1 - self.faults.lost_answers:
            result = KafkaConnectionError()
            if chance > 1 - self.faults.lost_answers / 2:
                return  # the client's patience ends it
        self._respond(answer, result)

    def _respond(self, answer: "asyncio.Future[Any]", result: Any) -> None:
        self.world.after(self._leg(), _resolve, answer, result)

    def _leg(self) -> float:
        chance = self.world.random.random()
        if chance < self.faults.slow:
            return self.world.random.uniform(0.05, 1.2)
        return 0.0005 + 0.004 * chance


class Coordinator:
    """The group: eager rebalancing, sessions, generations, static members."""

    def __init__(self, world: World, partitions: int, session_timeout: float, rebalance_timeout: float) -> None:
        self.generation = 0
        self.owners: list[Ownership] = []
        self._unaware_until: dict[
            int, float
        ] = {}  # by partition: an owner replaced under its own id may go on till then
        self.offsets: dict[int, tuple[int, str]] = {}
        self._world = world
        self._partitions = partitions
        self._session_timeout = session_timeout
        self._rebalance_timeout = rebalance_timeout
        self._members: dict[str, Member] = {}
        self._rebalance = 0
        self._preparing = False
        self._named = 0

    def join(
        self, member_id: str, instance_id: str | None, process: str, respond: Callable[[Assignment | KafkaError], None]
    ) -> None:
        """Let a member in, or in again."""
        replaced = next((m for m in self._members.values() if instance_id and m.instance_id == instance_id), None)
        if member_id and member_id not in self._members:
            respond(UnknownMemberIdError())
            return
        if not member_id and replaced is not None:
            self._replace(replaced, process, respond)
            return
        member = self._members[member_id] if member_id else self._new(instance_id, process)
        member.waits = respond
        self._hear(member)
        if not self._preparing:
            self._prepare()
        self._complete_if_all()

    def heartbeat(self, member_id: str, generation: int) -> None:
        """Keep a session alive, and learn what goes on."""
        member = self._known(member_id, generation)
        self._hear(member)
        if self._preparing:
            raise RebalanceInProgressError

    def commit(self, member_id: str, generation: int, offsets: dict[int, tuple[int, str]]) -> None:
        """Take offsets from a member of this generation, or from anybody while there is no member (as Kafka does)."""
        if generation >= 0 or self._members:
            self._hear(self._known(member_id, generation))
        self.offsets |= offsets

    def leave(self, member_id: str) -> None:
        """A member says goodbye."""
        if self._members.pop(member_id, None) is not None:
            self._gone()

    def _known(self, member_id: str, generation: int) -> Member:
        member = self._members.get(member_id)
        if member is None:
            raise UnknownMemberIdError
        if generation != self.generation:
            raise IllegalGenerationError
        return member

    def is_replaced(self, member_id: str, instance_id: str) -> bool:
        """Whether another member has the instance id."""
        return any(one.instance_id == instance_id and one.id != member_id for one in self._members.values())

    def _new(self, instance_id: str | None, process: str) -> Member:
        self._named += 1
        member = Member(f"member-{self._named}", instance_id, process)
        self._members[member.id] = member
        self._world.after(self._session_timeout, self._check_session, member)
        return member

    def _replace(self, old: Member, process: str, respond: Callable[[Assignment | KafkaError], None]) -> None:
        """A static member came back under a new name: no rebalance, it gets what it had."""
        del self._members[old.id]
        member = self._new(old.instance_id, process)
        self._hear(member)
        member.partitions = old.partitions
        unaware_until = self._world.now + self._session_timeout
        self._unaware_until |= dict.fromkeys(old.partitions, unaware_until)
        if self._preparing or not self.generation:
            member.waits = respond
            self._complete_if_all()
        else:
            self._own(member)
            respond(Assignment(member.id, self.generation, member.partitions))

    def _own(self, member: Member) -> None:
        now = self._world.now
        self.owners += [
            Ownership(
                partition=number,
                instance=member.process,
                since=NOON + now,
                is_handed_over=now < self._unaware_until.get(number, 0.0),
            )
            for number in member.partitions
        ]

    def _hear(self, member: Member) -> None:
        member.heard_at = self._world.now

    def _check_session(self, member: Member) -> None:
        if self._members.get(member.id) is not member:
            return
        ends = member.heard_at + self._session_timeout
        if member.waits is not None:
            self._world.after(self._session_timeout, self._check_session, member)
        elif ends > self._world.now:
            self._world.after(ends - self._world.now, self._check_session, member)
        else:
            del self._members[member.id]
            self._gone()

    def _gone(self) -> None:
        if not self._preparing:
            self._prepare()
        self._complete_if_all()

    def _prepare(self) -> None:
        self._preparing = True
        self._rebalance += 1
        self._world.after(self._rebalance_timeout, self._give_up_waiting, self._rebalance)

    def _give_up_waiting(self, rebalance: int) -> None:
        if self._preparing and rebalance == self._rebalance:
            for member in [member for member in self._members.values() if member.waits is None]:
                del self._members[member.id]
            self._complete_if_all()

    def _complete_if_all(self) -> None:
        if not self._preparing or any(member.waits is None for member in self._members.values()):
            return
        self._preparing = False
        self.generation += 1
        members = sorted(self._members.values(), key=lambda member: member.id)
        turn = self._world.random.randrange(len(members)) if members else 0
        for index, member in enumerate(members):
            mine = range((index + turn) % len(members), self._partitions, len(members))
            member.partitions = tuple(mine)
            respond, member.waits = member.waits, None
            self._hear(member)
            self._own(member)
            if respond is not None:
                respond(Assignment(member.id, self.generation, member.partitions))


def command_offset(record: Written) -> int:
    """The command that a record answers."""
    return next(int(value) for name, value in record.headers if name == COMMAND_OFFSET)


def _resolve(answer: "asyncio.Future[Any]", result: Any) -> None:
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
