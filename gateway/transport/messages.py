"""One HTTP request and its answer, as values: exact bytes out, exact bytes in."""

from collections.abc import Mapping

from msgspec import Struct


class HttpRequest(Struct, frozen=True, kw_only=True):
    """What goes on the wire; `target` is path and query, percent-encoded, signed over just these bytes."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""


class HttpAnswer(Struct, frozen=True, kw_only=True):
    """What came back; header names are looked up without regard to case (the mapping is case-insensitive)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
