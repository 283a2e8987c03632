"""The composition root of the edge: builds every part from the settings, starts them, and takes them down in order.

There is one way down: not ready any more, every stream told to go elsewhere and given its time, then all is cancelled.
"""

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import msgspec
import structlog
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from gateway.clock import Clock, SystemClock
from gateway.edge.api import Api
from gateway.edge.commands import CommandDesk
from gateway.edge.documents import files
from gateway.edge.door import Door
from gateway.edge.hub import Hub
from gateway.edge.log import EventLog
from gateway.edge.observer import EdgeTelemetry
from gateway.edge.publisher import Publisher
from gateway.edge.server import EdgeServer, Page
from gateway.edge.streams import Streams
from gateway.edge.tokens import Tokens
from gateway.kafka.bootstrap import BootstrapServers
from gateway.kafka.connection import client_options
from gateway.pipeline.rules import CommandRules, Deadline
from gateway.settings.certificates import serving
from gateway.settings.tree import Settings, VenueSettings
from gateway.tasks import lasting
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.server import Verdict, probe
from gateway.venues.catalogue import venues
from schemas import VenueName

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TURN = 1.0  # seconds
TURN_PATIENCE = 60.0
STALE_AFTER = 10.0  # seconds behind the log, from which on an instance is not ready
LEAVE_PATIENCE = 5.0


async def serve(settings: Settings, *, base_dir: Path, consumer_options: Mapping[str, Any] | None = None) -> None:
    """Run an edge until SIGTERM, SIGINT or SIGHUP, then drain and leave.

    Args:
        settings: checked settings.
        base_dir: where relative file names start.
        consumer_options: for brokers that are not Kafka (`check_crcs`).

    Raises:
        UnreachableError: no broker; MissingTopicError: not the topics; ListenError: the address is taken.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in STOP_SIGNALS:
        loop.add_signal_handler(name, stop.set)
    await Edge(settings, base_dir=base_dir, consumer_options=consumer_options).run(stop)


class Edge:
    """One edge: every part, built and not yet started."""

    def __init__(
        self,
        settings: Settings,
        *,
        base_dir: Path,
        consumer_options: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        clock = self._clock = clock or SystemClock()
        edge = settings.edge
        self._settings = settings
        self._log: Any = structlog.get_logger("gateway")
        self.metrics = Metrics()
        telemetry = EdgeTelemetry(self.metrics)
        options = client_options(settings.kafka, base_dir)
        self._servers = BootstrapServers(settings.kafka, options)
        self.tokens = Tokens(edge.tokens, base_dir, telemetry)
        self.log = EventLog(
            settings.kafka.topics,
            options,
            consumer_options=consumer_options or {},
            gather=edge.gather_ms / 1000,
            clock=clock,
            observer=telemetry,
            replaced=self._replaced,
        )
        self.publisher = Publisher(settings.kafka.topics.commands, options)
        door = Door(self.tokens, origins=edge.origins, rate=edge.max_rate_per_token, clock=clock)
        desk = CommandDesk(
            CommandRules(venues(), _deadlines(settings)),
            self.publisher,
            door,
            clock=clock,
            remembered=settings.pipeline.repeat_window_age,
            observer=telemetry,
        )
        self.streams = Streams(
            heartbeat=edge.heartbeat,
            most_per_token=edge.max_streams_per_token,
            hub=self._hub,
            clock=clock,
            observer=telemetry,
        )
        api = Api(
            edge,
            door=door,
            desk=desk,
            streams=self.streams,
            hub=self._hub,
            clock=clock,
            count=telemetry.answered,
        )
        self._turned_at = clock.monotonic()
        self._is_draining = False
        self.server = EdgeServer(edge, pages=self._pages(), api=api.answer, tls=serving(edge, base_dir))

    async def run(self, stop: asyncio.Event) -> None:
        """Start everything, work until `stop` is set, drain, and take everything down."""
        await self.server.start()
        try:
            work = asyncio.create_task(self._work(), name="work")
            stopping = asyncio.create_task(stop.wait(), name="stop")
            await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if work.done():
                work.result()
            self._is_draining = True
            self._log.info("draining_edge", streams=len(self.streams.sessions))
            await self.streams.drain(self._settings.edge.drain_timeout)
            work.cancel()
            await asyncio.wait((work,), timeout=LEAVE_PATIENCE)
        finally:
            await self.server.stop()
            await self.publisher.close()
        self._log.info("stopped_edge")

    async def _work(self) -> None:
        await self._servers.wait()
        self._log.info("started_edge", url=self.server.url)
        async with asyncio.TaskGroup() as tasks:
            for name, part in (
                ("log", self.log.run),
                ("bootstrap servers", self._servers.watch),
                ("tokens", self.tokens.watch),
                ("heartbeats", self.streams.beat),
                ("lag", self.streams.tell_lag),
                ("samples", self._sample),
            ):
                tasks.create_task(lasting(part), name=name)

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(TURN)
            self._turned_at = self._clock.monotonic()
            hub = self._hub()
            self.metrics.edge_streams.set(len(self.streams.sessions))
            self.metrics.edge_lanes.set(0 if hub is None else hub.lane_count)
            self.metrics.edge_lag_seconds.set(-1 if hub is None else self.log.lag)

    def _hub(self) -> Hub | None:
        return self.log.hub

    def _replaced(self, hub: Hub) -> None:
        self.streams.end_all_of(hub)

    def _pages(self) -> Mapping[str, Page]:
        return MappingProxyType(
            {
                "/livez": probe(self.alive),
                "/readyz": probe(self.ready),
                "/metrics": cast("Page", make_aiohttp_handler(self.metrics.registry)),
                **{f"/{name}": _document(text) for name, text in files().items()},
            }
        )

    def alive(self) -> Verdict:
        """Whether the event loop turns, and our own tasks in it."""
        silence = self._clock.monotonic() - self._turned_at
        return silence < TURN_PATIENCE, {"seconds_since_turn": round(silence, 3)}

    def ready(self) -> Verdict:
        """The state is in, the log is followed, and nothing is draining."""
        is_loaded, lag = self._hub() is not None, self.log.lag
        why = {
            "loaded": is_loaded,
            "lag_seconds": round(lag, 3) if is_loaded else None,
            "streams": len(self.streams.sessions),
            "draining": self._is_draining,
        }
        return is_loaded and lag < STALE_AFTER and not self._is_draining, why


def _document(text: bytes) -> Page:
    async def page(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=text, content_type="application/json")

    return page


def _deadlines(settings: Settings) -> dict[VenueName, Deadline]:
    found: dict[VenueName, VenueSettings] = msgspec.structs.asdict(settings.venues)  # pyright: ignore[reportAssignmentType]
    return {name: Deadline(venue.deadline, venue.deadline_counts_from) for name, venue in found.items()}
