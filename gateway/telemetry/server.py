"""The HTTP server for probes and Prometheus: `/livez`, `/readyz`, `/metrics`; `/lanes` says what waits for what.

`app` starts it first and stops it last, so that a draining gateway is seen to drain. Whoever can connect cannot take it
away: a connection has one request and a few seconds, and where there are too many the oldest makes room.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol, cast

import msgspec
import structlog
from aiohttp import web
from aiohttp.hdrs import HOST, SERVER
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from prometheus_client.aiohttp import make_aiohttp_handler

from gateway.pipeline.steps import LaneWait
from gateway.settings.addresses import is_loopback, parse_listen, url_host, urlsplit_or_none
from gateway.telemetry.metrics import Metrics

Verdict = tuple[bool, dict[str, Any]]
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

MOST_CONNECTIONS = 64  # a kubelet and some scrapers need a handful
MOST_LANES = 1000  # on one page
CONNECTION_LASTS = 10.0  # seconds for one request and its answer


class Health(Protocol):
    """What the probes ask; both answers are made without I/O, and hold nothing secret."""

    def alive(self) -> Verdict:
        """Whether our own loops turn; never whether Kafka or a venue is there."""
        ...

    def ready(self) -> Verdict:
        """Whether this instance does its work: assigned or standing by, and not draining."""
        ...

    def lanes(self) -> Iterator[LaneWait]:
        """What each lane that has something to do waits for."""
        ...


class ListenError(Exception):
    """Raised where the address to listen on cannot be had; its text says which, and what would be right."""


class PlainRequest(web.BaseRequest):
    """A request whose answer does not tell which server made it, also where the request is none."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        response.headers.pop(SERVER, None)


class ObservabilityServer:
    """Serves probes and metrics until stopped; `start` and `stop` belong to the composition root."""

    def __init__(self, listen: str, *, health: Health, metrics: Metrics) -> None:
        self._host, self._port = parse_listen(listen)
        self._pages: Mapping[str, Handler] = MappingProxyType(
            {
                "/livez": probe(health.alive),
                "/readyz": probe(health.ready),
                "/lanes": lanes_page(health.lanes),
                "/metrics": cast("Handler", make_aiohttp_handler(metrics.registry)),
            }
        )
        self._log: Any = structlog.get_logger("gateway")
        self._server: asyncio.Server | None = None
        self._http: web.Server | None = None

    async def start(self) -> None:
        """Listen; ListenError where the address is taken or not this machine's."""
        self._http = http = web.Server(self._answer, request_factory=_request, access_log=None, logger=silent_logger())
        loop = asyncio.get_running_loop()

        def accept() -> asyncio.Protocol:
            for oldest in http.connections[: max(0, len(http.connections) - MOST_CONNECTIONS + 1)]:
                cut(oldest)
            connection = http()
            loop.call_later(CONNECTION_LASTS, cut, connection)
            return connection

        try:
            self._server = await loop.create_server(accept, self._host, self._port)
        except OSError as error:
            raise cannot_listen("http.listen", self._host, self._port, error) from error

    @property
    def url(self) -> str:
        """The address in use, `http://host:port`; a port 0 of the settings is the one that was free."""
        if self._server is None:
            raise RuntimeError("the probes are not started")
        return url_of(self._server, "http")

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        if self._server is not None:
            self._server.close()
        if self._http is not None:
            await self._http.shutdown(timeout=0)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        page = self._pages.get(request.path)
        if _is_foreign(request, self._host):
            response: web.StreamResponse = web.Response(status=403, text="this name is not one of this machine's\n")
        elif page is None:
            response = web.Response(status=404, text="there are /livez, /readyz, /lanes and /metrics\n")
        elif request.method not in {"GET", "HEAD"}:
            response = web.Response(status=405, headers={"Allow": "GET, HEAD"})
        else:
            try:
                response = await page(request)
            except Exception:  # noqa: BLE001 - a bug in a probe is a 500 and a traceback in the log
                self._log.exception("failed_page", path=request.path)
                response = web.Response(status=500)
        response.force_close()
        return response


def probe(ask: Callable[[], Verdict]) -> Handler:
    """Make the page of a probe: 200 or 503, and why."""

    async def answer(_request: web.BaseRequest) -> web.Response:
        well, why = ask()
        body = msgspec.json.encode({"ok": well, **why})
        return web.Response(status=200 if well else 503, body=body, content_type="application/json")

    return answer


def lanes_page(lanes: Callable[[], Iterator[LaneWait]]) -> Handler:
    """Make the page that says why nothing happens: `?account=` and `?venue=` choose, and at most so many are shown."""

    async def answer(request: web.BaseRequest) -> web.Response:
        chosen = [one for one in lanes() if _is_chosen(one, request.query)]
        body = msgspec.json.encode({"count": len(chosen), "lanes": chosen[:MOST_LANES]})
        return web.Response(body=body, content_type="application/json")

    return answer


def _is_chosen(one: LaneWait, query: Mapping[str, str]) -> bool:
    return query.get("venue", one.venue) == one.venue and query.get("account", one.account) == one.account


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: Any,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    return PlainRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())


def cannot_listen(setting: str, host: str, port: int, error: OSError) -> ListenError:
    """What is told where an address cannot be had."""
    where = f"{setting}: cannot listen on {host}:{port}"
    return ListenError(f"{where}: {error.strerror}; choose another address, or port 0 for a free one")


def _is_foreign(request: web.BaseRequest, listening: str) -> bool:
    """Whether probes for this machine alone are asked by another name: by a page that has its own lead here."""
    host = request.headers.get(HOST)
    if host is None or not is_loopback(listening):
        return False
    split = urlsplit_or_none(f"http://{host}")
    return split is None or not is_loopback(split[1])


def url_of(server: asyncio.Server, scheme: str) -> str:
    """The address that a server listens on."""
    host, port = server.sockets[0].getsockname()[:2]
    return f"{scheme}://{url_host(host)}:{port}"


def cut(connection: web.RequestHandler) -> None:
    """End a connection at once, whatever it is doing; one that has ended already is left alone."""
    if connection.transport is not None:
        connection.transport.abort()


def silent_logger() -> logging.Logger:
    """Where aiohttp may tell of requests that are none: whoever can connect could fill a log with them."""
    logger = logging.getLogger("gateway.probes")
    logger.setLevel(logging.CRITICAL + 1)
    return logger
