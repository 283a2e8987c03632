"""One instant as the messages write it: RFC 3339, UTC, milliseconds."""

import re
from datetime import UTC, datetime
from typing import Self

# RFC 3339, section 5.6: `t` and `z` may be lower case, and a space may stand for the T. Python reads all of ISO 8601.
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[T ]([01]\d|2[0-3]):\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII | re.IGNORECASE
)


class Timestamp(datetime):
    """An instant, always UTC and in whole milliseconds, written `2026-11-21T08:00:00.000Z` (RFC 3339)."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an RFC 3339 time of any offset; ValueError where it has none or is no time."""
        if not _RFC_3339.fullmatch(text):
            raise ValueError("a time is as RFC 3339 has it: 2026-11-21T08:00:00.000Z, or +HH:MM for the Z")
        return cls.of(datetime.fromisoformat(text.upper()))

    @classmethod
    def of(cls, instant: datetime) -> Self:
        """Take over a datetime, without what is finer than a millisecond.

        ValueError where it has no offset; OverflowError where the instant in UTC is outside the years 1 to 9999.
        """
        if instant.tzinfo is None:
            raise ValueError("a time needs its offset: end it with Z, or with +HH:MM")
        # Not by way of a float of seconds: that loses milliseconds some centuries from 1970.
        utc = instant if instant.tzinfo is UTC else instant.astimezone(UTC)
        whole_ms = utc.microsecond // 1000 * 1000
        return cls(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, whole_ms, UTC)

    @classmethod
    def from_epoch(cls, seconds: float) -> Self:
        """Take over seconds since 1970-01-01 UTC."""
        return cls.of(datetime.fromtimestamp(seconds, UTC))

    def __str__(self) -> str:
        return self.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
