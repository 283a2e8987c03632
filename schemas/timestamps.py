"""One instant as the messages write it: RFC 3339, UTC, milliseconds."""

from datetime import UTC, datetime
from typing import Self


class Timestamp(datetime):
    """An instant, always UTC, written `2026-11-21T08:00:00.000Z` (RFC 3339 with milliseconds)."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an RFC 3339 time of any offset; ValueError where it has none or is no time."""
        return cls.of(datetime.fromisoformat(text))

    @classmethod
    def of(cls, instant: datetime) -> Self:
        """Take over a datetime that knows its offset; ValueError where it does not."""
        if instant.tzinfo is None:
            raise ValueError("a time needs its offset: end it with Z, or with +HH:MM")
        return cls.fromtimestamp(instant.timestamp(), UTC)

    @classmethod
    def from_epoch(cls, seconds: float) -> Self:
        """Take over seconds since 1970-01-01 UTC."""
        return cls.fromtimestamp(seconds, UTC)

    def __str__(self) -> str:
        return self.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{self.microsecond // 1000:03d}Z"
