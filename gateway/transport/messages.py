"""One HTTP request and its answer, as values: exact bytes out, exact bytes in."""

from collections.abc import Callable, Mapping
from typing import Protocol

from aiohttp import StreamReader
from msgspec import Struct

from gateway.outcomes import Unavailable

LARGEST_ANSWER_BYTES = 1024 * 1024
OK, CLIENT_ERROR, UNAUTHORIZED, FORBIDDEN, SERVER_ERROR, SERVICE_UNAVAILABLE = 200, 400, 401, 403, 500, 503
# Statuses that say all: a limit is met and nothing was done, whatever becomes of the body.
LIMITED = (418, 429)


class HttpRequest(Struct, frozen=True, kw_only=True):
    """What goes on the wire; `target` is path and query, percent-encoded, signed over just these bytes.

    Attributes:
        largest_answer_bytes: of the answer's body no more than this is read.
        connect_within: seconds; a connection that takes longer is given up, nothing sent; None: the session's own.
        may_send: asked when the connection stands; where it says no, nothing is sent.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    largest_answer_bytes: int = LARGEST_ANSWER_BYTES
    connect_within: float | None = None
    may_send: Callable[[], bool] | None = None


class HttpReply(Struct, frozen=True, kw_only=True):
    """What came back; header names are looked up without regard to case (the mapping is case-insensitive)."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Response(Protocol):
    """One answer whose body is still to be read."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def content(self) -> StreamReader:
        """The body as it comes."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Found without regard to case."""
        ...

    def close(self) -> object:
        """Give the connection back, or close it where the body was not read to its end."""
        ...


WITHDRAWN = Unavailable(message="not sent any more")
"""In place of an answer, where a request's `may_send` said no."""
