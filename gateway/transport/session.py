"""One venue's HTTP session: exact bytes out, an answer or an outcome back, never an exception of the network.

```
may not be sent any more       as whoever asks says when it is connected    -> WITHDRAWN
before a byte could be sent    DNS, refused, TLS, connecting took too long   -> Unavailable
after that                     timeout, reset, EOF, an answer cut short      -> Ambiguous
418 or 429 as its status       whatever becomes of the body                  -> the answer, with what came of it
```
Before it, the signature; after it, the venue's classification. Redirects are answers here: nobody follows them with a
signed request.
"""

import asyncio
from contextlib import suppress
from types import MappingProxyType
from typing import Protocol

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from gateway.outcomes import Ambiguous, Unavailable
from gateway.settings.tree import HttpClient
from gateway.transport.by_session import SessionExchange
from gateway.transport.by_wire import WireExchange
from gateway.transport.connections import UnaskedError, WithdrawnError, connect_timeout, may_send
from gateway.transport.messages import LIMITED, WITHDRAWN, HttpReply, HttpRequest, Response

CONNECT_SHARE = 0.5  # of the call's timeout: what is left after it surely belongs to a connection that stood
NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    UnaskedError,
)
# HttpProcessingError is what aiohttp's parser raises where the client does not wrap it.
PERHAPS_SENT = (aiohttp.ClientError, HttpProcessingError, EOFError, OSError)
BODY_PATIENCE = 1.0  # seconds for the body of an answer whose status and headers say all


class HttpTransport(Protocol):
    """A way to call: with aiohttp's session, or without."""

    async def begin(self, request: HttpRequest, timeout: aiohttp.ClientTimeout) -> Response:  # noqa: ASYNC109 - aiohttp's own
        """Send, and return when status and headers have come."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


_EXCHANGES = MappingProxyType[HttpClient, type[WireExchange] | type[SessionExchange]](
    {"wire": WireExchange, "session": SessionExchange}
)


class VenueSession:
    """The connections to one venue, kept warm."""

    def __init__(
        self, base_url: str, *, call_timeout: float, client: HttpClient = "wire", proxy: str | None = None
    ) -> None:
        """Prepare a session.

        Args:
            base_url: of the venue.
            call_timeout: seconds from connecting to the last byte of the answer.
            client: the way to call.
            proxy: what TLS connections go through, by CONNECT.
        """
        self._base = base_url.rstrip("/")
        self._call_timeout = call_timeout
        self._connect_within = call_timeout * CONNECT_SHARE
        self._connect_timeout = connect_timeout(self._connect_within)
        self._client: HttpClient = client
        self._proxy = None if proxy is None else URL(proxy)
        self._exchange: HttpTransport | None = None

    async def start(self) -> None:
        """Get ready; connections are made when they are needed."""
        self._exchange = _EXCHANGES[self._client](self._base, self._proxy)

    async def close(self) -> None:
        """Close all connections."""
        if self._exchange is not None:
            await self._exchange.close()

    async def send(self, request: HttpRequest) -> HttpReply | Unavailable | Ambiguous:
        """Send once; nothing is retried here."""
        may_send.set(request.may_send)
        try:
            async with asyncio.timeout(self._call_timeout) as patience:
                return await self._call(request, patience)
        except WithdrawnError:
            return WITHDRAWN
        except NEVER_SENT as error:
            return Unavailable(message=f"not reached: {_kind(error)}")
        except TimeoutError:
            return Ambiguous(message=f"no answer within {self._call_timeout:g} s")
        except PERHAPS_SENT as error:
            return Ambiguous(message=f"no whole answer: {_kind(error)}")

    async def _call(self, request: HttpRequest, patience: asyncio.Timeout) -> HttpReply | Ambiguous:
        if self._exchange is None:
            raise RuntimeError("the session is not started")
        response = await self._exchange.begin(request, self._timeout(request))
        try:
            if response.status in LIMITED:
                until = patience.when() or 0.0
                patience.reschedule(None)  # from here on it is an answer, however long its body takes
                body = await _whatever_comes(response.content, request.largest_answer_bytes, until)
            else:
                body = await _bounded(response.content, request.largest_answer_bytes)
        finally:
            response.close()
        if body is None:
            message = f"an answer of more than {request.largest_answer_bytes} bytes"
            return Ambiguous(message=message, http_status=response.status)
        return HttpReply(status=response.status, headers=response.headers, body=body)

    def _timeout(self, request: HttpRequest) -> aiohttp.ClientTimeout:
        within = request.connect_within
        if within is None or within >= self._connect_within:
            return self._connect_timeout
        return connect_timeout(within)


async def _bounded(content: aiohttp.StreamReader, most: int) -> bytes | None:
    body = await content.readany()
    if content.at_eof():
        return None if len(body) > most else body
    chunks = bytearray(body)
    while not content.at_eof():
        chunks += await content.readany()
        if len(chunks) > most:
            return None
    return bytes(chunks)


async def _whatever_comes(content: aiohttp.StreamReader, most: int, until: float) -> bytes:
    """As much of the body as comes soon; cut off it is no JSON, and then the headers say how long to wait."""
    body = bytearray()
    until = min(until, asyncio.get_running_loop().time() + BODY_PATIENCE)
    with suppress(TimeoutError, *PERHAPS_SENT):
        async with asyncio.timeout_at(until):
            while not content.at_eof() and len(body) <= most:
                body += await content.readany()
    return bytes(body[:most])


def _kind(error: Exception) -> str:
    """The error by its kind: its text may hold the signed URL."""
    reason = getattr(error, "strerror", None)
    return f"{type(error).__name__} ({reason})" if isinstance(reason, str) and reason else type(error).__name__
