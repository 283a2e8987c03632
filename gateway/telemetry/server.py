"""The HTTP server for probes and Prometheus: `/livez`, `/readyz`, `/metrics`; each answer says why.

`app` starts it first and stops it last, so that a draining gateway is seen to drain.
"""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from gateway.settings.addresses import parse_listen
from gateway.telemetry.metrics import Metrics

Verdict = tuple[bool, dict[str, Any]]


class Health(Protocol):
    """What the probes ask; both answers are made without I/O, and hold nothing secret."""

    def alive(self) -> Verdict:
        """Whether the event loop and the pipeline move; never whether Kafka or a venue is there."""
        ...

    def ready(self) -> Verdict:
        """Whether this instance does its work: assigned or standing by, and not draining."""
        ...


class ListenError(Exception):
    """Raised where the address to listen on cannot be had; its text says which, and what would be right."""


class ObservabilityServer:
    """Serves probes and metrics until stopped; `start` and `stop` belong to the composition root."""

    def __init__(self, listen: str, *, health: Health, metrics: Metrics) -> None:
        self._host, self._port = parse_listen(listen)
        app = web.Application()
        app.router.add_get("/livez", _probe(health.alive))
        app.router.add_get("/readyz", _probe(health.ready))
        app.router.add_get("/metrics", make_aiohttp_handler(metrics.registry))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._site: web.TCPSite | None = None

    async def start(self) -> None:
        """Listen; ListenError where the address is taken or not this machine's."""
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await self._site.start()
        except OSError as error:
            await self._runner.cleanup()
            where = f"http.listen: cannot listen on {self._host}:{self._port}"
            raise ListenError(f"{where}: {error.strerror}; choose another address, or port 0 for a free one") from error

    @property
    def url(self) -> str:
        """The address in use, `http://host:port`; a port 0 of the settings is the one that was free."""
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening and close what is open, within a second or so."""
        await self._runner.cleanup()


def _probe(ask: Callable[[], Verdict]) -> Callable[[web.Request], Any]:
    async def answer(_request: web.Request) -> web.Response:
        well, why = ask()
        body = msgspec.json.encode({"ok": well, **why})
        return web.Response(status=200 if well else 503, body=body, content_type="application/json")

    return answer
