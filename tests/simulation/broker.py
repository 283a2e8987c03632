"""Kafka on paper: the topics with their transactions and fencing; `coordinator` has the one group.

`client` reaches it over a network that delays, loses requests and loses answers; here everything happens at once.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from aiokafka.errors import (
    ConcurrentTransactions,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    TopicAuthorizationFailedError,
)

from gateway.ownership.fingerprint import fingerprint, is_of
from gateway.pipeline.command import CommandRecord
from schemas.headers import COMMAND_OFFSET
from schemas.topics import Topics
from tests.kit.world import Handle, Process, World, running_process
from tests.simulation.coordinator import Assignment, Coordinator

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
        self.former_commands: list[list[list[CommandRecord]]] = []  # of topics that were deleted, oldest first
        self.rotten: set[tuple[int, int, int]] = set()  # topic of commands, partition, offset: damaged where it is kept
        self._silence = 0  # times when nobody ran: what was sent before the last one is not on its way any more
        self.begins: dict[tuple[str, int], int] = {}  # the oldest offset there is, where retention deleted some
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
        self.world.after(self._leg(), self._receive, execute, answer, self._silence)
        return await answer

    async def join(self, member_id: str, instance_id: str | None) -> Assignment:
        """A JoinGroup and SyncGroup: answered when the rebalance is complete."""
        answer: asyncio.Future[Assignment] = asyncio.get_running_loop().create_future()
        process, silence = running_process().name, self._silence

        def respond(result: Assignment | KafkaError) -> None:
            self.world.after(self._leg(), _resolve, answer, result)

        def receive() -> None:
            if silence != self._silence:
                return
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

    def make_commands_anew(self, *, is_used: bool) -> None:
        """Delete the topic of commands and make it again: the group's offsets are forgotten, the answers are not.

        `is_used`: by processes that go on; else nothing of theirs is on its way any more.
        """
        for name in tuple(self._ending):  # what answers the former topic is told as such
            self._write_markers(name)
        self.former_commands.append(self.commands)
        self.commands = [[] for _ in self.commands]
        self.group.offsets.clear()
        if not is_used:
            self._silence += 1
            self.group.disband()
        self.answered.clear()
        self.begins = {place: offset for place, offset in self.begins.items() if place[0] != TOPICS.commands}

    def begin(self, topic: str, partition: int) -> int:
        """The oldest offset there is."""
        return self.begins.get((topic, partition), 0)

    def is_rotten(self, record: CommandRecord) -> bool:
        """Whether nobody will ever read it."""
        return (len(self.former_commands), record.partition, record.offset) in self.rotten

    def end(self, topic: str, partition: int) -> int:
        """The offset after the last that anybody may read."""
        return len(self.commands[partition]) if topic == TOPICS.commands else self.stable_end(topic, partition)

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
        if name in self._ending:
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
        start = max(start, self.begin(topic, partition))
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
                self.answered |= {
                    (partition, command_offset(entry.record))
                    for entry in written
                    if entry.record and self._is_of_this_topic(partition, entry.record)
                }

    def _is_of_this_topic(self, partition: int, answer: Written) -> bool:
        """Whether an answer is of a command that is there, and not of one that an earlier topic had at its offset."""
        found = self.commands[partition][command_offset(answer) :][:1]
        known = fingerprint(answer.value, answer.headers)
        return bool(found) and (
            not self.former_commands or self.is_rotten(found[0]) or is_of(known, found[0].value, found[0].headers)
        )

    def _receive(self, execute: Callable[[], Any], answer: "asyncio.Future[Any]", silence: int) -> None:
        chance = self.world.random.random()
        if silence != self._silence:
            return
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
