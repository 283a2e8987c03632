"""Reading a venue's answer: its JSON, its hints on when to come back, its server's date. Nothing here raises."""

import email.utils
from decimal import Decimal, InvalidOperation
from typing import Any, cast

import msgspec

from gateway.transport.messages import HttpAnswer


def json_object(answer: HttpAnswer) -> dict[str, Any] | None:
    """The body as a JSON object, or None."""
    body = json_body(answer)
    return cast("dict[str, Any]", body) if isinstance(body, dict) else None


def objects(body: object) -> list[dict[str, Any]]:
    """Those members of a JSON array that are objects; none where it is no array."""
    members = cast("list[object]", body) if isinstance(body, list) else []
    return [cast("dict[str, Any]", member) for member in members if isinstance(member, dict)]


def json_body(answer: HttpAnswer) -> Any:
    """The body as JSON, or None."""
    try:
        return msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def number(value: object) -> Decimal | None:
    """A JSON number, or text that is one; None for all else, for NaN and for infinity."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        decimal = Decimal(str(value))
    except InvalidOperation:
        return None
    return decimal if decimal.is_finite() else None


def text(value: object) -> str:
    """A JSON string as it is, all else as nothing."""
    return value if isinstance(value, str) else ""


def retry_after(answer: HttpAnswer) -> float | None:
    """Seconds that `Retry-After` asks to wait (RFC 9110, section 10.2.3: a number, or a date); None where absent."""
    said = answer.headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return float(said[:9])
    until, now = _epoch(said), date(answer)
    return None if until is None or now is None else max(0.0, until - now)


def date(answer: HttpAnswer) -> float | None:
    """The server's `Date` in seconds since 1970 UTC, whole seconds; None where absent."""
    return _epoch(answer.headers.get("Date", ""))


def _epoch(http_date: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(http_date).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
