"""Calls by aiohttp's connector and response parser alone: the request's bytes are written here.

What `ClientSession` does beside that costs more than all else of a call. The parts of aiohttp that this stands on are
not promised by it: `tests/transport/test_parts.py` says which they are, and `by_session` does without them.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from gateway.transport.connections import HEADERS, connections
from gateway.transport.messages import HttpRequest

SWITCHING, INFORMATIONAL = 101, range(100, 200)
WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE"})  # methods that say no length where there is nothing


class WireExchange:
    """One venue's connections."""

    def __init__(self, base_url: str, proxy: URL | None = None) -> None:
        """Prepare what all requests share; connections are made when they are needed. Call it in a running loop."""
        url = URL(base_url)
        self._connections = connections()
        # Where to, of all requests.
        self._place = aiohttp.ClientRequest("GET", url, loop=asyncio.get_running_loop(), proxy=proxy)
        self._path = url.raw_path.rstrip("/")
        lines = {"Host": self._place.headers["Host"], **HEADERS}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()

    async def begin(self, request: HttpRequest, timeout: aiohttp.ClientTimeout) -> "WireResponse":  # noqa: ASYNC109 - aiohttp's own
        """Send, and return when status and headers have come.

        Raises:
            ValueError: the request holds a line break where none may be.
            ConnectionTimeoutError: there was no connection in time; nothing was sent.
        """
        sent = self._bytes(request)
        try:
            connection = await self._connections.connect(self._place, [], timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError("no connection in time") from error
        try:
            protocol = connection.protocol
            protocol.set_response_params(read_until_eof=True, auto_decompress=False)
            protocol.transport.write(sent)
            message, content = await protocol.read()
            while message.code in INFORMATIONAL and message.code != SWITCHING:
                message, content = await protocol.read()
        except BaseException:
            connection.close()
            raise
        return WireResponse(connection, message.code, message.headers, content)

    def _bytes(self, request: HttpRequest) -> bytes:
        own = "".join([f"{name}: {value}\r\n" for name, value in request.headers.items()])
        if own.count("\n") != len(request.headers) or own.count("\r") != len(request.headers) or "\n" in request.target:
            raise ValueError("a header or the target of a request holds a line break")
        length = (
            f"Content-Length: {len(request.body)}\r\n" if request.body or request.method not in WITHOUT_BODY else ""
        )
        head = f"{request.method} {self._path}{request.target} HTTP/1.1\r\n{self._head}{own}{length}\r\n"
        return head.encode() + request.body


class WireResponse:
    """One answer whose body is still to be read."""

    __slots__ = ("_connection", "content", "headers", "status")

    def __init__(self, connection: Any, status: int, headers: Mapping[str, str], content: aiohttp.StreamReader) -> None:
        self._connection = connection
        self.status = status
        self.headers = headers
        self.content = content

    def close(self) -> None:
        """Give the connection back; one whose answer was not read to its end is closed."""
        if self.content.is_eof():
            self._connection.release()
        else:
            self._connection.close()
