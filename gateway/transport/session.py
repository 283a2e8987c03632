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
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from gateway.outcomes import Ambiguous, Unavailable
from gateway.transport.messages import LIMITED, WITHDRAWN, HttpReply, HttpRequest

NEVER_ROUNDED = float("inf")  # seconds; above it aiohttp rounds a time-out up to whole seconds
KEEP_ALIVE = 15.0  # seconds; shorter than venues keep an idle connection, so that none is used as they close it
CONNECT_SHARE = 0.5  # of the call's timeout: what is left after it surely belongs to a connection that stood
HEADERS = {"User-Agent": "leverage-gateway", "Accept": "application/json"}
# The signed bytes are the whole request: aiohttp adds nothing, and no content type to an empty body.
NOT_ADDED = ("Accept-Encoding", "Content-Type")
NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
# HttpProcessingError is what aiohttp's parser raises where the client does not wrap it.
PERHAPS_SENT = (aiohttp.ClientError, HttpProcessingError, EOFError, OSError)
BODY_PATIENCE = 1.0  # seconds for the body of an answer whose status and headers say all


class _WithdrawnError(Exception):
    """Raised where nothing may be sent on a connection that stands by now."""


_may_send: ContextVar[Callable[[], bool] | None] = ContextVar("may_send", default=None)  # of this task's request


class _Connector(aiohttp.TCPConnector):
    """Asks once more before a connection is used: making one may have taken a while."""

    async def connect(self, req: Any, traces: list[Any], timeout: Any) -> Any:  # noqa: ASYNC109 - aiohttp's own
        connection = await super().connect(req, traces, timeout)
        may_send = _may_send.get()
        if may_send is not None and not may_send():
            connection.release()
            raise _WithdrawnError
        return connection


class VenueSession:
    """The connections to one venue, kept warm."""

    def __init__(self, base_url: str, *, call_timeout: float) -> None:
        """`call_timeout`: seconds from connecting to the last byte of the answer."""
        self._base = base_url.rstrip("/")
        self._call_timeout = call_timeout
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Make the session; connections are made when they are needed."""
        self._session = aiohttp.ClientSession(
            connector=_Connector(limit=0, keepalive_timeout=KEEP_ALIVE),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            skip_auto_headers=NOT_ADDED,
            auto_decompress=False,
            trust_env=False,
        )
        # aiohttp repeats a GET over a connection that broke: a second call that no limit would know of.
        self._session._retry_connection = False  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - no public way

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def send(self, request: HttpRequest) -> HttpReply | Unavailable | Ambiguous:
        """Send once; nothing is retried here."""
        _may_send.set(request.may_send)
        try:
            async with asyncio.timeout(self._call_timeout) as patience:
                return await self._exchange(request, patience)
        except _WithdrawnError:
            return WITHDRAWN
        except NEVER_SENT as error:
            return Unavailable(message=f"not reached: {_kind(error)}")
        except TimeoutError:
            return Ambiguous(message=f"no answer within {self._call_timeout:g} s")
        except PERHAPS_SENT as error:
            return Ambiguous(message=f"no whole answer: {_kind(error)}")

    async def _exchange(self, request: HttpRequest, patience: asyncio.Timeout) -> HttpReply | Ambiguous:
        if self._session is None:
            raise RuntimeError("the session is not started")
        url = URL(self._base + request.target, encoded=True)
        async with self._session.request(
            request.method,
            url,
            data=request.body or None,
            headers=request.headers,
            allow_redirects=False,
            timeout=self._timeout(request),
        ) as response:
            if response.status in LIMITED:
                until = patience.when() or 0.0
                patience.reschedule(None)  # from here on it is an answer, however long its body takes
                body = await _whatever_comes(response, request.largest_answer_bytes, until)
            else:
                body = await _bounded(response, request.largest_answer_bytes)
        if body is None:
            message = f"an answer of more than {request.largest_answer_bytes} bytes"
            return Ambiguous(message=message, http_status=response.status)
        return HttpReply(status=response.status, headers=response.headers, body=body)

    def _timeout(self, request: HttpRequest) -> aiohttp.ClientTimeout:
        connect = self._call_timeout * CONNECT_SHARE
        if request.connect_within is not None:
            connect = min(connect, request.connect_within)
        return aiohttp.ClientTimeout(total=None, connect=connect, ceil_threshold=NEVER_ROUNDED)


async def _bounded(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)


async def _whatever_comes(response: aiohttp.ClientResponse, most: int, until: float) -> bytes:
    """As much of the body as comes soon; cut off it is no JSON, and then the headers say how long to wait."""
    body = bytearray()
    until = min(until, asyncio.get_running_loop().time() + BODY_PATIENCE)
    with suppress(TimeoutError, *PERHAPS_SENT):
        async with asyncio.timeout_at(until):
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > most:
                    break
    return bytes(body[:most])


def _kind(error: Exception) -> str:
    """The error by its kind: its text may hold the signed URL."""
    reason = getattr(error, "strerror", None)
    return f"{type(error).__name__} ({reason})" if isinstance(reason, str) and reason else type(error).__name__
