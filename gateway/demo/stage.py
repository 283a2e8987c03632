"""All that the demo runs on, in one process: embedded broker, simulated venues, and the gateway itself.

`play` acts on it. When it is left, the gateway has drained, and nothing remains on disk.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from gateway.app import Gateway
from gateway.clock import SystemClock
from gateway.demo.embedded import CONSUMER_OPTIONS, PARTITIONS, embedded_broker
from gateway.demo.scenario import ACCOUNT, MAX_ATTEMPTS
from gateway.edge.app import Edge
from gateway.settings.tree import (
    EdgeSettings,
    EdgeTokenSettings,
    HttpSettings,
    KafkaSettings,
    LimitSettings,
    Settings,
    VenueSettings,
    VenuesSettings,
)
from gateway.simulator import Simulator, SimulatorSettings, demo_accounts
from gateway.simulator.config import account_settings
from gateway.telemetry.server import Verdict
from gateway.venues.catalogue import venues
from gateway.venues.venue import Venue
from schemas.topics import Topics

TOKEN = "demo"  # noqa: S105 - no secret: its edge is gone with this process
_READY_PATIENCE = 30.0


class Stage(Struct, frozen=True, kw_only=True):
    """What is running."""

    bootstrap_servers: str
    simulator: Simulator
    gateway: Gateway
    edge: Edge


@asynccontextmanager
async def staged() -> AsyncGenerator[Stage]:
    """Start all of it, and stop it in order; EmbeddedMissingError without the extra `embedded`."""
    topics = Topics()
    with TemporaryDirectory(prefix="gateway-demo-") as folder:
        async with embedded_broker(topics) as bootstrap_servers, _simulated() as simulator:
            kafka = KafkaSettings(bootstrap_servers=bootstrap_servers, topics=topics, partitions=PARTITIONS)
            settings = _settings(kafka, simulator, Path(folder))
            async with _running(settings, Path(folder)) as gateway, _edge(settings, Path(folder)) as edge:
                yield Stage(bootstrap_servers=bootstrap_servers, simulator=simulator, gateway=gateway, edge=edge)


@asynccontextmanager
async def _simulated() -> AsyncGenerator[Simulator]:
    simulator = Simulator(SimulatorSettings(), SystemClock())
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


@asynccontextmanager
async def _running(settings: Settings, base_dir: Path) -> AsyncGenerator[Gateway]:
    gateway = Gateway(settings, base_dir=base_dir, consumer_options=CONSUMER_OPTIONS)
    async with _until_left(gateway.run, gateway.health.ready):
        yield gateway


@asynccontextmanager
async def _edge(settings: Settings, base_dir: Path) -> AsyncGenerator[Edge]:
    (base_dir / "token").write_text(TOKEN)
    edge = Edge(settings, base_dir=base_dir, consumer_options=CONSUMER_OPTIONS)
    async with _until_left(edge.run, edge.ready):
        yield edge


@asynccontextmanager
async def _until_left(
    run: Callable[[asyncio.Event], Coroutine[None, None, None]], ready: Callable[[], Verdict]
) -> AsyncGenerator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(run(stop))
        try:
            async with asyncio.timeout(_READY_PATIENCE):
                while not ready()[0]:  # noqa: ASYNC110 - a probe is asked, it does not tell
                    await asyncio.sleep(0.05)
            yield
        finally:
            stop.set()


def _settings(kafka: KafkaSettings, simulator: Simulator, folder: Path) -> Settings:
    token = EdgeTokenSettings(token_file="token", accounts=("*",), verbs=("read", "send"))  # noqa: S106 - a file's name
    return Settings(
        kafka=kafka,
        http=HttpSettings(listen="127.0.0.1:0"),
        venues=VenuesSettings(**{name: _venue(venue, simulator) for name, venue in venues().items()}),
        edge=EdgeSettings(listen="127.0.0.1:0", tokens={"demo": token}, drain_timeout=1.0),
        accounts=account_settings(folder, [one for one in demo_accounts() if one.name == ACCOUNT]),
    )


def _venue(venue: Venue, simulator: Simulator) -> VenueSettings:
    # Nobody else spends at venues that have just been made, so no window need pass before the first call.
    fresh = LimitSettings(assume_spent_at_start=False)
    limits = {limit.name: fresh for limit in venue.limits}
    return VenueSettings(base_url=simulator.base_url(venue.name), limits=limits, max_attempts=MAX_ATTEMPTS)
