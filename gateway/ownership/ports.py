"""What the pipeline asks of Kafka; `gateway.kafka` answers with real brokers, the simulation with none."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from gateway.ownership.ledger import Checkpoint, LogPosition
from gateway.ownership.repeats import RepeatWindow

AnswerTopic = Literal["events", "state", "dead_letters"]


class NotOwnerError(Exception):
    """Raised where the group no longer has this instance as the partition's owner."""


class ForeignAnswersError(Exception):
    """Raised where another consumer group answers the same commands, so that each would be called twice.

    Args:
        topic: the events'.
        partition: its number.
        offset: of an event that is not ours.
        group: whose it is.
        ours: `kafka.group_id`.
    """

    def __init__(self, topic: str, partition: int, offset: int, group: str, ours: str) -> None:
        super().__init__(
            f"kafka.group_id: {topic}, partition {partition}, offset {offset} holds an answer of the group {group!r}, "
            f"and this gateway's is {ours!r}. Two groups on the same topics call for every command twice: let one go "
            f'on, with the other stopped, or but a former name of it, in kafka.former_group_ids = ["{group}"]'
        )


class RecordRefusedError(Exception):
    """Raised where the broker refuses a record for good reason; nothing of its transaction is committed.

    Attributes:
        topic: the answer topic that it is for.
        is_too_large: the topic takes no batch of this size; a smaller one may pass.
    """

    def __init__(self, topic: AnswerTopic, message: str, *, is_too_large: bool) -> None:
        super().__init__(f"{topic}: {message}")
        self.topic: AnswerTopic = topic
        self.is_too_large = is_too_large


class OutRecord(NamedTuple):
    """One record to write to the answer topics, on the partition of its command."""

    topic: AnswerTopic
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class LoggedAnswer(NamedTuple):
    """Whose command was answered lately: record key, command id, and the event's wall time in seconds."""

    key: str
    command_id: str
    at: float


class Tail(NamedTuple):
    """What must be remembered of the answer topics, however much they hold.

    Attributes:
        answered: offsets of the answered commands, none below the lowest that was asked for, and their fingerprints.
        recent: the answers of the repeat window, oldest first.
        end: where the topics end now.
        is_complete: no event after the start of reading was deleted; else a command may have been answered
            although its offset is not among the answered ones.
    """

    answered: Mapping[int, int]
    recent: Sequence[LoggedAnswer]
    end: LogPosition
    is_complete: bool = True


class AnswerLog(Protocol):
    """The answer topics of one partition, written in transactions under one transactional id."""

    async def fence(self) -> None:
        """Take the transactional id over: an earlier holder can commit no more, its open transaction is aborted."""
        ...

    async def write(self, records: Sequence[OutRecord]) -> LogPosition:
        """Commit all records in one transaction, and say where the topics end after it.

        Any exception means that the outcome is not known here: fence, read, and write again what is not there.
        RecordRefusedError says why writing the same again would end the same.
        """
        ...

    async def read(self, start: LogPosition, window: RepeatWindow | None = None, *, lowest: int = 0) -> Tail:
        """What is committed from `start` on of commands at or above `lowest`, and the repeat window up to the end.

        ForeignAnswersError where another group wrote there.
        """
        ...


class Ownership(Protocol):
    """This instance's claim to one partition of commands."""

    @property
    def topic(self) -> str:
        """The commands' topic."""
        ...

    @property
    def partition(self) -> int:
        """The partition's number."""
        ...

    @property
    def held(self) -> bool:
        """Whether nothing has told yet that it is lost."""
        ...

    async def committed(self) -> Checkpoint:
        """The last checkpoint; where there is none, the partition's beginning."""
        ...

    async def renew(self, checkpoint: Checkpoint) -> None:
        """Commit; accepted, it renews the lease. NotOwnerError where the group refuses."""
        ...

    async def beginning(self) -> int:
        """The offset of the oldest command that the partition still has."""
        ...

    async def end(self) -> int:
        """The offset that the partition's next command will get."""
        ...
