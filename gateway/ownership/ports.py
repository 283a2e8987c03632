"""What the pipeline asks of Kafka; `gateway.kafka` answers with real brokers, the simulation with none."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from gateway.ownership.ledger import Checkpoint, LogPosition
from gateway.ownership.repeats import RepeatWindow

AnswerTopic = Literal["events", "state", "dead_letters"]


class NotOwnerError(Exception):
    """Raised where the group no longer has this instance as the partition's owner."""


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


OF_ANOTHER = -1  # the command offset of an answer of which only its id and time matter


class LoggedAnswer(NamedTuple):
    """One answer as the tail of the answer topics tells it; a dead letter alone has no command id."""

    command_offset: int
    key: str | None
    command_id: str | None
    at: float


class Tail(NamedTuple):
    """What reading the answer topics told, and where they end now."""

    answers: Sequence[LoggedAnswer]
    end: LogPosition


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

    async def read(self, start: LogPosition, window: RepeatWindow | None = None) -> Tail:
        """All committed answers from `start` on, and those of the repeat window before it as `OF_ANOTHER`."""
        ...


class Ownership(Protocol):
    """This instance's claim to one partition of commands."""

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
