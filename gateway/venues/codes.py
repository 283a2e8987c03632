"""What a row of a venue's code table says, and how it becomes an outcome; each venue's room holds its own table.

In the spirit of franz-go's `kerr`: one row a code, with its name, its class and its meaning. Codes nobody listed have a
declared class of their own.
"""

from typing import Literal

from msgspec import Struct

from gateway.outcomes import (
    Ambiguous,
    ClockSkewed,
    KeyRejection,
    Outcome,
    Rejection,
    Throttled,
    Unavailable,
)

CodeClass = Literal["refused", "throttled", "banned", "unavailable", "slow", "ambiguous", "unauthorised", "clock"]
LONGEST_MESSAGE = 300


class Code(Struct, frozen=True):
    """One row: the venue's code, its name there, what it means for a command, and what the venue means."""

    code: str
    name: str
    outcome: CodeClass
    meaning: str


UNKNOWN_CODE = Code("?", "not listed", "refused", "A code that no page of the venue lists.")


class Said(Struct, frozen=True, kw_only=True):
    """What an answer said beside its class."""

    code: str | None
    message: str
    http_status: int
    retry_after: float | None = None
    until: float | None = None
    limit: str | None = None


def outcome_of(kind: CodeClass, said: Said) -> Outcome:
    """The outcome for a class of code."""
    code, message, status = said.code, clean(said.message), said.http_status
    match kind:
        case "refused":
            return Rejection(code=code, message=message, http_status=status)
        case "throttled" | "banned":
            return Throttled(
                code=code,
                message=message,
                http_status=status,
                limit=said.limit,
                retry_after=said.retry_after,
                until=said.until,
                banned=kind == "banned",
            )
        case "unavailable" | "slow":
            slow, retry_after = kind == "slow", said.retry_after or None  # "at once" is no hint: our own back-off grows
            return Unavailable(code=code, message=message, http_status=status, slow=slow, retry_after=retry_after)
        case "ambiguous":
            return Ambiguous(code=code, message=message, http_status=status)
        case "unauthorised":
            return KeyRejection(code=code, message=message, http_status=status)
        case "clock":
            return ClockSkewed(code=code, message=message, http_status=status)


def clean(text: str) -> str:
    """A venue's text as it may stand in events and logs: one line, printable, not long."""
    printable = "".join(character if character.isprintable() else " " for character in text[: 4 * LONGEST_MESSAGE])
    return " ".join(printable.split())[:LONGEST_MESSAGE]
