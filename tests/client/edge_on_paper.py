"""A `FakeGateway` behind a real edge over real sockets, with nothing of Kafka between them."""

import asyncio
from collections.abc import Awaitable, Iterable
from pathlib import Path
from typing import Any

from gateway.client.connection import connect
from gateway.client.gateway import Client
from gateway.client.testing import FakeGateway
from gateway.clock import SystemClock
from gateway.edge.api import Api
from gateway.edge.commands import CommandDesk
from gateway.edge.door import Door
from gateway.edge.history import History
from gateway.edge.hub import Hub
from gateway.edge.observer import EdgeTelemetry
from gateway.edge.position import Positions
from gateway.edge.publisher import NotTakenError
from gateway.edge.record import EventRow, Face, _Target
from gateway.edge.server import EdgeServer
from gateway.edge.streams import Streams
from gateway.edge.tokens import Tokens
from gateway.pipeline.rules import CommandRules, Deadline
from gateway.settings.tree import EdgeSettings, EdgeTokenSettings
from gateway.telemetry.metrics import Metrics
from gateway.venues.catalogue import venues
from schemas import Event, SetLeverage, encode
from schemas.targets import VENUES, venue_of


class EdgeOnPaper:
    """The fake's own methods, and clients that come by the edge."""

    def __init__(self, fake: FakeGateway, folder: Path, *, heartbeat: float = 0.2) -> None:
        self.fake = fake
        (folder / "token").write_text("a-token")
        token = EdgeTokenSettings(token_file="token", accounts=("*",), verbs=("read", "send"))
        settings = EdgeSettings(listen="127.0.0.1:0", heartbeat=heartbeat, drain_timeout=0.1, tokens={"all": token})
        clock, telemetry = SystemClock(), EdgeTelemetry(Metrics())
        loop = asyncio.get_running_loop()
        self.hub = Hub(
            History([0], self._load, most=10_000), Positions(b"paper", 1), loop.call_later, loop.time, self._lag
        )
        self.hub.history.begins = [0]
        door = Door(Tokens(settings.tokens, folder, telemetry), origins=(), rate=10_000, clock=clock)
        rules = CommandRules(venues(), dict.fromkeys(VENUES, Deadline(60.0)))
        desk = CommandDesk(rules, self, door, clock=clock, remembered=3600.0, observer=telemetry)
        self.streams = Streams(
            heartbeat=settings.heartbeat, most_per_token=100, hub=lambda: self.hub, clock=clock, observer=telemetry
        )
        api = Api(
            settings,
            door=door,
            desk=desk,
            streams=self.streams,
            hub=lambda: self.hub,
            clock=clock,
            count=telemetry.answered,
        )
        self.server = EdgeServer(settings, pages={}, api=api.answer, tls=None)
        fake._listeners.append(self._take)
        streams = (self.streams.beat(), self.streams.tell_lag())
        self._tasks = [asyncio.create_task(part) for part in streams]

    def client(self) -> Client:
        return connect(f"{self.server.url.replace('http', 'ws')}/v1/stream", token="a-token")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.fake, name)

    async def stop(self) -> None:
        await self.streams.drain(0.1)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.server.stop()

    async def hand_over(self, command: SetLeverage, _trace: Iterable[tuple[str, bytes]] = ()) -> Awaitable[None]:
        """As the publisher does."""
        if self.fake._lost_why is not None:
            raise NotTakenError(self.fake._lost_why)
        task = asyncio.create_task(self.fake._take(command))
        return asyncio.shield(task)

    def _lag(self) -> float:
        return 0.0 if self.fake._lost_why is None else 60.0

    def _take(self, event: Event) -> None:
        face = Face(
            type(event).__name__,
            event.event_id,
            event.command_id,
            event.account,
            event.lane,
            _Target(venue_of(event.target)),
            event.issuer,
        )
        at = len(self.fake._log) - 1
        self.hub.take(0, [EventRow(face, encode(event), partition=0, offset=at, at=SystemClock.wall())], at + 1)
        self.hub.settle()

    async def _load(self, _partition: int, _begin: int, _end: int) -> list[EventRow]:
        raise AssertionError("everything is in memory")
