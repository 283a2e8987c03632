"""What the headers of a dead letter say, by whomever it was written: this gateway, Connect, Streams or Spring.

The gateway writes them by the same names that are read here.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct

from schemas.events import Reason
from schemas.headers import CUT_FIELDS, ERROR_FIELDS, ERROR_PREFIX, Headers
from schemas.timestamps import Timestamp

# The command was right and something else was not: worth a person's look, and a redrive.
DEAD_LETTERED: frozenset[Reason] = frozenset(
    {"unknown_account", "unauthorised", "rate_limited", "venue_unavailable", "outcome_unknown"}
)
FOREIGN_PREFIXES = ("__connect.errors.", "__streams.errors.", "kafka_dlt-", "retry_topic-")
LONGEST_TEXT = 1_000  # characters; ours are shorter, a stack trace is not
_LONGEST_INTEGER = 19  # digits of a 64-bit number
_BYTES_OF = frozenset({4, 8})  # Spring writes numbers as big-endian bytes
# What other tools call it: Kafka Connect (KIP-298), Kafka Streams (KIP-1034), Spring Kafka.
_DIALECTS = {
    "partition": ("__connect.errors.partition", "__streams.errors.partition", "kafka_dlt-original-partition"),
    "offset": ("__connect.errors.offset", "__streams.errors.offset", "kafka_dlt-original-offset"),
    "topic": ("__connect.errors.topic", "__streams.errors.topic", "kafka_dlt-original-topic"),
    "timestamp": ("kafka_dlt-original-timestamp",),
    "stage": ("__connect.errors.stage",),
    "reason": (
        "__connect.errors.exception.class.name",
        "__streams.errors.exception",
        "kafka_dlt-exception-cause-fqcn",
        "kafka_dlt-exception-fqcn",
    ),
    "message": (
        "__connect.errors.exception.message",
        "__streams.errors.message",
        "kafka_dlt-exception-message",
    ),
    "attempts": ("retry_topic-attempts",),
    "group": ("kafka_dlt-original-consumer-group",),
}
_NAMES = {field: (ERROR_PREFIX + field, *_DIALECTS.get(field, ())) for field in (*ERROR_FIELDS, *CUT_FIELDS)}


class LetterErrors(Struct, frozen=True, kw_only=True):
    """Why a record became a dead letter; None where its headers do not say."""

    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    timestamp: Timestamp | None = None
    stage: str | None = None
    reason: str | None = None
    message: str | None = None
    attempts: int | None = None
    failed_at: Timestamp | None = None
    group: str | None = None
    value_size: int | None = None

    @classmethod
    def read(cls, headers: Headers, *, timestamp_ms: int) -> "LetterErrors":
        """Read a dead letter's headers; whatever is no number or no time is taken for not said.

        `timestamp_ms`: the record's own time, for dialects that say none.
        """
        said = dict(headers)  # of several with one name the last counts, as everywhere
        return cls(
            topic=_text(said, "topic"),
            partition=_number(said, "partition"),
            offset=_number(said, "offset"),
            timestamp=_time(_text(said, "timestamp")) or _epoch(_number(said, "timestamp") or 0),
            stage=_text(said, "stage"),
            reason=_text(said, "reason"),
            message=_text(said, "message"),
            attempts=_number(said, "attempts"),
            failed_at=_time(_text(said, "failed_at")) or _epoch(timestamp_ms),
            group=_text(said, "group"),
            value_size=_number(said, "value_size"),
        )

    def headers(self) -> list[tuple[str, bytes]]:
        """Write them as the gateway's own dialect; what is not said is empty."""
        said = {name: getattr(self, name) for name in ERROR_FIELDS}
        return [(ERROR_PREFIX + name, b"" if value is None else str(value).encode()) for name, value in said.items()]


def read_integer(text: str | None) -> int | None:
    """A number that is not negative, as a foreign header writes it; None for anything else."""
    if text is None or len(text) > _LONGEST_INTEGER or not (text.isascii() and text.isdigit()):
        return None
    return int(text)


def _text(said: Mapping[str, bytes], field: str) -> str | None:
    for name in _NAMES[field]:
        if name in said:
            return said[name].decode("utf-8", "replace")[:LONGEST_TEXT]
    return None


def _number(said: Mapping[str, bytes], field: str) -> int | None:
    number = read_integer(_text(said, field))
    if number is not None:
        return number
    binary = [said[name] for name in _DIALECTS.get(field, ()) if len(said.get(name, b"")) in _BYTES_OF]
    value = int.from_bytes(binary[0], "big", signed=True) if binary else -1
    return value if value >= 0 else None


def _time(text: str | None) -> Timestamp | None:
    try:
        return Timestamp.parse(text) if text else None
    except (ValueError, OverflowError):
        return None


def _epoch(milliseconds: int) -> Timestamp | None:
    try:
        return Timestamp.of(datetime.fromtimestamp(milliseconds / 1000, UTC)) if milliseconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None
