"""What a run left on the topics, as records of a history.

Whose answer retention has deleted may be answered a second time, with a refusal: that is left out. Where the topic of
commands was made anew, offsets were given twice. A history has each command once: those of a later
topic come after all of the earlier ones, and what answers them is told with these offsets too.
"""

from collections import Counter
from collections.abc import Iterator

from msgspec import structs

from gateway.kafka.batches import KEPT
from gateway.pipeline.command import CommandRecord
from schemas import encode
from schemas.headers import COMMAND_OFFSET, ERROR_PREFIX, content_type
from tests.chaos.history import Place, Record
from tests.chaos.story import command_of, event_of
from tests.kit.clocks import NOON
from tests.simulation.broker import TOPICS, Broker, Entry, Transaction
from tests.simulation.member import ON_DISK, batch_of, damaged

OFFSETS = (COMMAND_OFFSET, f"{ERROR_PREFIX}offset")


class Told:
    """The topics of one run."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._logs = [*broker.former_commands, broker.commands]
        self._again = {*self._answered_again(TOPICS.events), *self._answered_again(TOPICS.dead_letters)}

    @property
    def commands(self) -> tuple[Record, ...]:
        """All that were ever sent."""
        return tuple(
            structs.replace(
                self._command(number, record), offset=self._before(number, record.partition) + record.offset
            )
            for number, logs in enumerate(self._logs)
            for log in logs
            for record in log
        )

    def _command(self, number: int, record: CommandRecord) -> Record:
        """As it was sent, or where that can never be read, as it is shown to people: the first of its batch's bytes."""
        if (number, record.partition, record.offset) not in self._broker.rotten:
            return _command(record)
        return structs.replace(_command(record), key=None, headers=(), value=damaged(batch_of(record), ON_DISK)[:KEPT])

    def answers(self, topic: str) -> tuple[Record, ...]:
        """What is committed on an answer topic."""
        return tuple(self._answers(topic))

    def deleted(self) -> tuple[Place, ...]:
        """The commands that need no answer: deleted, some before anybody read them, or of a later topic and not to be told from what an
        earlier one had there: the same bytes, or none that can be read.
        """
        same = (
            Place(partition, self._before(number, partition) + offset)
            for number, logs in enumerate(self._logs)
            for former in self._logs[:number]
            for partition, log in enumerate(logs)
            for offset, (one, other) in enumerate(zip(log, former[partition], strict=False))
            if one.value == other.value or (number, partition, offset) in self._broker.rotten
        )
        former = (
            Place(partition, self._before(number, partition) + offset)
            for number, logs in enumerate(self._broker.former_commands)
            for partition, log in enumerate(logs)
            for offset in range(len(log))
        )
        expired = (
            Place(partition, self._before(len(self._logs) - 1, partition) + offset)
            for (topic, partition), begin in self._broker.begins.items()
            if topic == TOPICS.commands
            for offset in range(begin)
        )
        return (*former, *expired, *same)

    def _answers(self, topic: str) -> Iterator[Record]:
        left_out: Counter[int] = Counter()
        for entry, record in self._committed(topic):
            if (entry.transaction, record.answers) in self._again:
                left_out[record.partition] += 1
                continue
            closed = structs.replace(
                record, offset=record.offset - left_out[record.partition]
            )  # a gap ends a transaction
            yield self._absolute(closed, entry.at)

    def _committed(self, topic: str) -> Iterator[tuple[Entry, Record]]:
        for partition, topics in enumerate(self._broker.answers):
            for offset, entry in enumerate(topics[topic]):
                if entry.record is not None and entry.transaction.status == "committed":
                    yield entry, _answer(partition, offset, entry)

    def _answered_again(self, topic: str) -> Iterator[tuple[Transaction, Place | None]]:
        """Which answers, by transaction and command, were given though the command had one that is deleted."""
        deleted: set[Place | None] = set()
        for entry, record in self._committed(topic):
            place = self._absolute(record, entry.at).answers
            if place in deleted:
                yield entry.transaction, record.answers
            elif record.offset < self._broker.begin(topic, record.partition):
                deleted.add(place)

    def _absolute(self, record: Record, at: float) -> Record:
        place = record.answers
        before = 0 if place is None else self._before(self._topic_of(record, place, at), record.partition)
        if place is None or not before:
            return record
        offset = f"{before + place.offset}".encode()
        headers = tuple((name, offset if name in OFFSETS else value) for name, value in record.headers)
        event = event_of(record)
        if event is None:
            return structs.replace(record, headers=headers)
        named = structs.replace(event, event_id=f"{TOPICS.commands}/{place.partition}/{before + place.offset}")
        return structs.replace(record, headers=headers, value=encode(named, content_type(record.headers)))

    def _topic_of(self, record: Record, place: Place, at: float) -> int:
        """Which of the topics of commands an answer means: the newest by then that has its command there."""
        commands = {
            number: self._command(number, one)
            for number, logs in reversed(tuple(enumerate(self._logs)))
            for one in logs[place.partition][place.offset : place.offset + 1]
            if one.timestamp_ms <= int((NOON + at) * 1000)
        }
        event = event_of(record)
        if event is None:  # a dead letter: the command's bytes, or their beginning
            whole = [number for number, one in commands.items() if one.value == record.value]
            cut = [number for number, one in commands.items() if (one.value or b"").startswith(record.value or b"")]
            return next(iter((*whole, *cut, *commands)), 0)
        named = {number: command.command_id for number, one in commands.items() if (command := command_of(one))}
        return next((number for number in commands if named.get(number) == event.command_id), 0)

    def _before(self, number: int, partition: int) -> int:
        """How many commands the earlier topics had on a partition."""
        return sum(len(logs[partition]) for logs in self._logs[:number])


def _command(record: CommandRecord) -> Record:
    return Record(
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )


def _answer(partition: int, offset: int, entry: Entry) -> Record:
    assert entry.record is not None
    return Record(
        partition=partition,
        offset=offset,
        timestamp_ms=int((NOON + entry.at) * 1000),
        key=entry.record.key,
        value=entry.record.value,
        headers=tuple(entry.record.headers),
    )
