"""What the headers of a dead letter say, by whomever it was written: this gateway, Connect, Streams or Spring.

Read only: the gateway writes its own in its pipeline.
"""

from datetime import UTC, datetime

from msgspec import Struct

from schemas.headers import ERROR_PREFIX, Headers, header
from schemas.timestamps import Timestamp

_LONGEST_INTEGER = 19  # digits of a 64-bit number
_BYTES_OF = frozenset({4, 8})  # Spring writes numbers as big-endian bytes
# What other tools call it: Kafka Connect (KIP-298), Kafka Streams (KIP-1034), Spring Kafka.
_DIALECTS = {
    "partition": ("__connect.errors.partition", "__streams.errors.partition", "kafka_dlt-original-partition"),
    "offset": ("__connect.errors.offset", "__streams.errors.offset", "kafka_dlt-original-offset"),
    "topic": ("__connect.errors.topic", "__streams.errors.topic", "kafka_dlt-original-topic"),
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
}


class LetterErrors(Struct, frozen=True, kw_only=True):
    """Why a record became a dead letter; None where its headers do not say."""

    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    stage: str | None = None
    reason: str | None = None
    message: str | None = None
    attempts: int | None = None
    failed_at: Timestamp | None = None
    value_size: int | None = None

    @classmethod
    def read(cls, headers: Headers, *, timestamp_ms: int) -> "LetterErrors":
        """Read a dead letter's headers; whatever is no number or no time is taken for not said.

        `timestamp_ms`: the record's own time, for dialects that say none.
        """
        return cls(
            topic=_text(headers, "topic"),
            partition=_number(headers, "partition"),
            offset=_number(headers, "offset"),
            stage=_text(headers, "stage"),
            reason=_text(headers, "reason"),
            message=_text(headers, "message"),
            attempts=_number(headers, "attempts"),
            failed_at=_time(_text(headers, "failed_at")) or _epoch(timestamp_ms),
            value_size=_number(headers, "value_size"),
        )


def read_integer(text: str | None) -> int | None:
    """A number that is not negative, as a foreign header writes it; None for anything else."""
    if text is None or len(text) > _LONGEST_INTEGER or not (text.isascii() and text.isdigit()):
        return None
    return int(text)


def _text(headers: Headers, field: str) -> str | None:
    for name in (ERROR_PREFIX + field, *_DIALECTS.get(field, ())):
        text = header(headers, name)
        if text is not None:
            return text
    return None


def _number(headers: Headers, field: str) -> int | None:
    number = read_integer(_text(headers, field))
    if number is not None:
        return number
    said = [value for name, value in headers if name in _DIALECTS.get(field, ()) and len(value) in _BYTES_OF]
    return int.from_bytes(said[-1], "big", signed=True) if said else None


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
