"""The answer topics of one partition in memory, as a broker keeps them: offsets, markers, and whose turn it is to write.

`contract` says what holds of it and of Kafka's alike.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from aiokafka.errors import ProducerFenced

from gateway.ownership.fingerprint import command_id, fingerprint
from gateway.ownership.ledger import LogPosition
from gateway.ownership.ports import AnswerTopic, LoggedAnswer, OutRecord, Tail
from gateway.ownership.repeats import RepeatWindow
from schemas.headers import COMMAND_OFFSET, header
from tests.kit.clocks import NOON

Fate = Literal["commit", "lose the answer", "abort", "hang"]


class Entry(NamedTuple):
    """What stands at one offset, and since when, in wall seconds; no record: a transaction's marker."""

    at: float
    record: OutRecord | None


class AnswerTopics:
    """What is committed.

    Attributes:
        begins: the oldest event that retention has left.
        epoch: of the last fence.
    """

    def __init__(self) -> None:
        self.logs: Mapping[AnswerTopic, list[Entry]] = {"events": [], "state": [], "dead_letters": []}
        self.begins = 0
        self.epoch = 0

    @property
    def end(self) -> LogPosition:
        """Where events and dead letters end."""
        return LogPosition(len(self.logs["events"]), len(self.logs["dead_letters"]))

    def commit(self, records: Sequence[OutRecord], at: float = NOON) -> None:
        """Take a whole transaction."""
        for topic, log in self.logs.items():
            written = [Entry(at, record) for record in records if record.topic == topic]
            if written:
                log += [*written, Entry(at, None)]

    def records(self, topic: AnswerTopic, start: int = 0) -> list[tuple[float, OutRecord]]:
        """The records of a topic from an offset on, each with its time."""
        return [(at, record) for at, record in self.logs[topic][start:] if record is not None]

    def answered(self) -> list[int]:
        """The offsets of the commands that have an event, in the order of their events."""
        return [_offset(record) for _, record in self.records("events")]


class MemoryAnswerLog:
    """One holder of the partition's transactional id.

    Attributes:
        did: what was asked of it, in order.
    """

    def __init__(self, topics: AnswerTopics, *fates: Fate, is_fenced: bool = False) -> None:
        """`fates`: what becomes of the next transactions; `is_fenced`: it has taken the id already."""
        self.topics = topics
        self.did: list[str] = []
        self._fates = list(fates)
        self.lose_id()
        if is_fenced:
            self._take_id()

    async def fence(self) -> None:
        self.did.append("fence")
        self._take_id()

    async def write(self, records: Sequence[OutRecord]) -> LogPosition:
        epoch = self._epoch
        self.lose_id()
        if epoch != self.topics.epoch:
            raise ProducerFenced
        fate: Fate = self._fates.pop(0) if self._fates else "commit"
        self.did.append(f"{fate} {[_offset(record) for record in records if record.topic == 'events']}")
        if fate == "hang":
            await asyncio.sleep(1e9)
        if fate in ("commit", "lose the answer"):
            self.topics.commit(records)
        if fate != "commit":
            raise ConnectionError(fate)
        self._epoch = epoch
        return self.topics.end

    async def read(self, start: LogPosition, window: RepeatWindow | None = None, *, lowest: int = 0) -> Tail:
        self.did.append(f"read from {start.events}")
        topics = self.topics
        since = topics.records("events", start.events) + topics.records("dead_letters", start.dead_letters)
        answered = {_offset(one): fingerprint(one.value, one.headers) for _, one in since if _offset(one) >= lowest}
        recent = [logged for at, record in topics.records("events") if (logged := _logged(at, record)) is not None]
        most = window.count if window is not None and window.age > 0 else 0
        is_complete = topics.begins <= start.events
        return Tail(answered, recent[max(0, len(recent) - most) :], topics.end, is_complete)

    def lose_id(self) -> None:
        """Nothing is written before the next fence: a producer is of no use after a failure."""
        self._epoch = -1

    def _take_id(self) -> None:
        self.topics.epoch += 1
        self._epoch = self.topics.epoch


def _offset(record: OutRecord) -> int:
    return int(header(record.headers, COMMAND_OFFSET) or -1)


def _logged(at: float, record: OutRecord) -> LoggedAnswer | None:
    named = command_id(record.value, record.headers)
    return None if named is None or record.key is None else LoggedAnswer(record.key.decode(), named, at)
