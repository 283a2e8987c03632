"""Calls by aiohttp's whole `ClientSession`: slower than `by_wire`, and of no part of aiohttp that may move."""

from typing import cast

import aiohttp
from yarl import URL

from gateway.transport.connections import HEADERS, connections
from gateway.transport.messages import HttpRequest, Response

# The signed bytes are the whole request: aiohttp adds nothing, and no content type to an empty body.
NOT_ADDED = ("Accept-Encoding", "Content-Type")


class SessionExchange:
    """One venue's `ClientSession`."""

    def __init__(self, base_url: str, proxy: URL | None = None) -> None:
        """Make the session; connections are made when they are needed. Call it in a running loop."""
        self._base = base_url
        self._proxy = proxy
        self._session = aiohttp.ClientSession(
            connector=connections(),
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
        await self._session.close()

    async def begin(self, request: HttpRequest, timeout: aiohttp.ClientTimeout) -> Response:  # noqa: ASYNC109 - aiohttp's own
        """Send, and return when status and headers have come."""
        response = await self._session.request(
            request.method,
            URL(self._base + request.target, encoded=True),
            data=request.body or None,
            headers=request.headers,
            proxy=self._proxy,
            allow_redirects=False,
            timeout=timeout,
        )
        return cast("Response", response)  # its `headers` are a property that aiohttp types as none
