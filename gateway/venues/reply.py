"""Reading a venue's answer: its JSON, its hints on when to come back, its server's date. Nothing here raises."""

import email.utils
import re
from decimal import Decimal
from typing import Any, cast

import msgspec

from gateway.transport.messages import HttpReply

# As venues write leverages and notionals; short, so that no exponent makes it as long as memory.
BANNED_UNTIL = re.compile(r"banned until (\d{12,14})")
NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)
LONGEST_CODE = 32
# Seconds: the longest ban that any venue documents; no typo of theirs shall stop us for years.
LONGEST_WAIT = 3 * 86400.0


def json_object(answer: HttpReply) -> dict[str, Any] | None:
    """The body as a JSON object, or None."""
    body = json_body(answer)
    return cast("dict[str, Any]", body) if isinstance(body, dict) else None


def objects(body: object) -> list[dict[str, Any]]:
    """Those members of a JSON array that are objects; none where it is no array."""
    members = cast("list[object]", body) if isinstance(body, list) else []
    return [cast("dict[str, Any]", member) for member in members if isinstance(member, dict)]


def json_body(answer: HttpReply) -> Any:
    """The body as JSON, or None."""
    try:
        return msgspec.json.decode(answer.body)
    except (ValueError, RecursionError):  # msgspec's own error, wrong UTF-8, an integer of thousands of digits
        return None


def number(value: object) -> Decimal | None:
    """A JSON number, or text that is one, in plain digits; None for all else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    digits = str(value)
    return Decimal(digits) if NUMBER.fullmatch(digits) else None


def text(value: object) -> str:
    """A JSON string as it is, all else as nothing."""
    return value if isinstance(value, str) else ""


def code_of(body: dict[str, Any], field: str = "code") -> str | None:
    """A venue's code, as text, where it is a number or a word."""
    code = body.get(field)
    if isinstance(code, bool) or not isinstance(code, str | int):
        return None
    word = str(code)[:LONGEST_CODE]
    return word if word.isascii() and word.isprintable() and word else None


def retry_after(answer: HttpReply) -> float | None:
    """Seconds that `Retry-After` asks to wait (RFC 9110, section 10.2.3: a number, or a date); None where absent."""
    said = answer.headers.get("Retry-After", "").strip()
    if said.isdecimal() and said.isascii():
        return min(float(said[:9]), LONGEST_WAIT)
    until, now = _epoch(said), date(answer)
    return None if until is None or now is None else min(max(0.0, until - now), LONGEST_WAIT)


def banned_until(answer: HttpReply) -> float | None:
    """Seconds since 1970 UTC when a ban ends, where the text says so as Binance's does; by the venue's clock."""
    return ban_end(text((json_object(answer) or {}).get("msg")))


def ban_end(message: str) -> float | None:
    """The same of the text alone."""
    found = BANNED_UNTIL.search(message)
    return int(found[1]) / 1000 if found else None


def date(answer: HttpReply) -> float | None:
    """The server's `Date` in seconds since 1970 UTC, whole seconds; None where absent."""
    return _epoch(answer.headers.get("Date", ""))


def _epoch(http_date: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(http_date).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
