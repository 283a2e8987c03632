"""What comes in: a command record as Kafka holds it, and a command as the pipeline carries it."""

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct

from schemas import SetLeverage
from schemas.codec import ContentType
from schemas.targets import LaneKey, VenueName


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


class Command(Struct, frozen=True, kw_only=True, eq=False, weakref=True):
    """A decoded command on its way to an answer; what becomes of it is its lane's business.

    Attributes:
        record: where it stands in the commands topic, byte for byte.
        command: the message.
        lane: venue, account and lane: the unit of order.
        content_type: how it is encoded, and its answer will be.
        received_at: monotonic seconds when it was read.
        deadline: monotonic seconds after which no call may start.
        trace_headers: the W3C trace context that its answer carries on.
    """

    record: CommandRecord
    command: SetLeverage
    lane: LaneKey
    content_type: ContentType
    received_at: float
    deadline: float
    trace_headers: Sequence[tuple[str, bytes]] = ()

    @property
    def offset(self) -> int:
        """The command record's offset."""
        return self.record.offset

    @property
    def venue(self) -> VenueName:
        """Where it is carried out."""
        return self.lane[0]

    @property
    def leverage(self) -> Decimal:
        """What was asked."""
        return self.command.leverage
