"""The listener of the edge: `/v1` for those with a token, `/livez`, `/readyz`, `/metrics` and the documents for all.

Whoever can connect cannot take it away: connections are bounded, and one that does not finish its request is ended.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from gateway.edge.door import DoorError
from gateway.settings.addresses import parse_listen
from gateway.settings.tree import EdgeSettings
from gateway.telemetry.server import PlainRequest, cannot_listen, cut, silent_logger, url_of

REQUEST_LASTS = 30.0  # seconds for the head of a request, from the connection's or the last answer's time on
TLS_HANDSHAKE_LASTS = 10.0
BACKLOG = 1024
Page = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class EdgeServer:
    """Listens until stopped."""

    def __init__(
        self, settings: EdgeSettings, *, pages: Mapping[str, Page], api: Page, tls: ssl.SSLContext | None
    ) -> None:
        """`pages` are open to all; `api` answers whatever else is asked."""
        self._host, self._port = parse_listen(settings.listen)
        self._settings = settings
        self._pages = pages
        self._api = api
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._http: web.Server | None = None

    async def start(self) -> None:
        """Listen; ListenError where the address is taken or not this machine's."""
        loop = asyncio.get_running_loop()
        self._http = http = web.Server(
            self._answer,
            request_factory=self._request,
            access_log=None,
            logger=silent_logger(),
            keepalive_timeout=REQUEST_LASTS,
        )

        def accept() -> asyncio.Protocol:
            connection = http()
            if len(http.connections) >= self._settings.max_connections:
                loop.call_soon(cut, connection)
            return connection

        try:
            self._server = await loop.create_server(
                accept,
                self._host,
                self._port,
                ssl=self._tls,
                ssl_handshake_timeout=TLS_HANDSHAKE_LASTS if self._tls else None,
                backlog=BACKLOG,
            )
        except OSError as error:
            raise cannot_listen("edge.listen", self._host, self._port, error) from error

    @property
    def url(self) -> str:
        """The address in use; a port 0 of the settings is the one that was free."""
        if self._server is None:
            raise RuntimeError("the edge is not started")
        return url_of(self._server, "http" if self._tls is None else "https")

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        if self._server is not None:
            self._server.close()
        if self._http is not None:
            await self._http.shutdown(timeout=1.0)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        page = self._pages.get(request.path)
        if page is None:
            return await self._api(request)
        if request.method not in {"GET", "HEAD"}:
            return DoorError(405, "not_allowed", "this is to be read", headers={"Allow": "GET, HEAD"}).answer()
        return await page(request)

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: Any,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        loop = asyncio.get_running_loop()
        return PlainRequest(
            message, payload, protocol, writer, task, loop, client_max_size=self._settings.max_body_bytes
        )
