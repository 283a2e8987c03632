"""What comes in: a command record as Kafka holds it, and a command as the pipeline carries it."""

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct

from schemas import SetLeverage
from schemas.codec import ContentType
from schemas.targets import VenueName, venue_of


class CommandRecord(Struct, frozen=True):
    """One record of the commands topic, byte for byte; `timestamp_ms` is the broker's or the producer's.

    `unreadable` says why the bytes are not what a producer wrote, where the batch that held them could not be read.
    """

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    unreadable: str | None = None


class Command:
    """A decoded command on its way to an answer: the message, where it stands, and what was tried so far.

    Attributes:
        deadline: monotonic seconds after which no call may start.
        attempts: calls made to the venue's leverage endpoint.
        is_unserved: the last call was not carried out, or nobody knows.
        doubtful: a call for it may have been applied, ours or a predecessor's, and nothing since has cleared it.
        asked: the venue was asked, and did not tell.
    """

    __slots__ = (
        "asked",
        "attempts",
        "command",
        "content_type",
        "deadline",
        "doubtful",
        "is_unserved",
        "received_at",
        "record",
        "trace_headers",
        "venue",
    )

    def __init__(
        self,
        record: CommandRecord,
        command: SetLeverage,
        *,
        content_type: ContentType,
        received_at: float,
        deadline: float,
    ) -> None:
        self.record = record
        self.command = command
        self.content_type: ContentType = content_type
        self.trace_headers: Sequence[tuple[str, bytes]] = ()
        self.received_at = received_at
        self.deadline = deadline
        self.venue: VenueName = venue_of(command.target)
        self.attempts = 0
        self.is_unserved = False
        self.doubtful = False
        self.asked = False

    @property
    def offset(self) -> int:
        """The command record's offset."""
        return self.record.offset

    @property
    def lane(self) -> tuple[VenueName, str, str]:
        """Venue, account and lane: the unit of order."""
        return self.venue, self.command.account, self.command.target.lane

    @property
    def leverage(self) -> Decimal:
        """What was asked."""
        return self.command.leverage
