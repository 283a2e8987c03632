"""One simulated gateway process: the real group, pipeline, permits, keys and clocks, over a broker and venues on paper."""

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any, NamedTuple

from msgspec import structs

from gateway.calls.clock_watch import ClockWatch
from gateway.calls.venue_caller import VenueCaller
from gateway.calls.venue_clock import VenueClock
from gateway.kafka.connection import UnreachableError
from gateway.kafka.group import Group
from gateway.kafka.partitioner import Partitioner
from gateway.limits.permits import Permits
from gateway.pipeline.command import Command
from gateway.pipeline.parts import build_parts
from gateway.settings.tree import KafkaSettings, PipelineSettings, Settings, VenueSettings
from gateway.venues.accounts import Accounts
from schemas import VenueName
from tests.chaos.history import Send
from tests.kit.clocks import NOON
from tests.kit.world import Process, World
from tests.simulation.broker import Broker
from tests.simulation.clients import SimulatedClients
from tests.simulation.keys import KeyFiles
from tests.simulation.network import SimulatedSender
from tests.simulation.venue import RECEIVE_WINDOW, PaperVenue, RealVenue

KAFKA = KafkaSettings(
    session_timeout_ms=3_000,
    lease=2.0,
    rebalance_timeout_ms=6_000,
    transaction_timeout_ms=4_000,
    request_timeout_ms=1_000,
    commit_interval=0.5,
)
PIPELINE = PipelineSettings(
    max_incomplete=20, max_lane_queue=3, max_in_flight=16, repeat_window_count=1_000, repeat_window_age=600.0
)
VENUE = VenueSettings(
    call_timeout=RECEIVE_WINDOW,
    settles_within=0.0,
    deadline=20.0,
    max_attempts=4,
    backoff_base=0.05,
    backoff_cap=0.5,
    breaker_failures=4,
    breaker_reset=0.5,
    dead_letters_per_minute=10,
)


class Surroundings(NamedTuple):
    """All that a process meets: the broker, the venues in both forms, and the files it is started with."""

    broker: Broker
    paper: Mapping[VenueName, PaperVenue]
    real: Mapping[VenueName, RealVenue]
    settings: Settings
    keys: KeyFiles
    sends: list[Send]


class SimulatedClock:
    """A process's clocks: they run on while it is stopped, and somebody may set the one on the wall."""

    def __init__(self, world: World, offset: float, wrong: float) -> None:
        self._world = world
        self._offset = offset
        self.wrong = wrong

    def monotonic(self) -> float:
        return self._world.now + self._offset

    def wall(self) -> float:
        return self._world.now + NOON + self.wrong


class Silent:
    """Whoever is told anything; bugs are kept."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def failed(self, incoming: Command, error: BaseException) -> None:
        self._process.world.errors.append(f"{self._process.name}: command {incoming.offset} met {error!r}")

    def __getattr__(self, name: str) -> Any:
        return _nothing


class Key:
    """Signs nothing: the paper venue needs no signature."""

    def sign(self, payload: bytes) -> bytes:
        return b""


class Gateway:
    """A process and what runs in it."""

    def __init__(self, world: World, name: str, around: Surroundings, *, instance_id: str | None) -> None:
        self.process = Process(world, name)
        self.instance_id = instance_id
        self._around = around
        self._stop = asyncio.Event()
        wrong = world.random.choice((0.0, 0.0, 5.0, -5.0))
        self.clock = SimulatedClock(world, world.random.uniform(0, 1e5), wrong)
        drain_timeout = world.random.choice((0.1, 1.5))
        self._settings = structs.replace(
            around.settings,
            kafka=structs.replace(KAFKA, group_instance_id=instance_id),
            pipeline=structs.replace(PIPELINE, drain_timeout=drain_timeout),
        )
        self.left = False
        self.is_leaving = False
        self.process.call_soon(self._start)

    @property
    def running(self) -> bool:
        """Whether it lives, is not stopped and was not told to leave."""
        return self.process.alive and not self.process.stopped and not self.is_leaving

    def terminate(self) -> None:
        """As by SIGTERM."""
        self.is_leaving = True
        self.process.call_soon(self._stop.set)

    def _start(self) -> None:
        self.process.create_task(self._main())

    async def _main(self) -> None:
        try:
            await self._work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run tells it
            if not _is_replaced(error):
                self.process.world.errors.append(f"{self.process.name} died: {error!r}")
        self.left = True
        self.process.kill()

    async def _work(self) -> None:
        """As `gateway.app` does it: keys, venues and their clocks, the group; and down again."""
        observer: Any = Silent(self.process)
        accounts = Accounts(self._settings.accounts, self._around.keys.folder, clock=self.clock, observer=observer)
        permits = Permits(self.clock)
        callers = {name: self._caller(name, permits, accounts, observer) for name in self._around.paper}
        clocks = ClockWatch(callers.values(), self.clock, observer)
        group = self._group(callers, accounts, observer)
        await clocks.measure()
        tasks = [asyncio.create_task(work) for work in (clocks.run(), accounts.watch(), group.run())]
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([*tasks, stop], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            await group.drain()
        finally:
            for task in (*tasks, stop):
                task.cancel()
            await asyncio.wait([*tasks, stop])

    def _group(self, callers: Mapping[VenueName, VenueCaller], accounts: Accounts, observer: Any) -> Group:
        settings, kafka = self._settings, self._settings.kafka
        partitioner = Partitioner(kafka)
        parts = build_parts(
            settings,
            venues=self._around.paper,
            callers=callers,
            accounts=accounts,
            partition_of=partitioner.partition_of,
            partition_change=partitioner.change,
            clock=self.clock,
            observer=observer,
            jitter=Random(self.process.world.random.random()),
        )
        return Group(
            kafka,
            parts=parts,
            partitioner=partitioner,
            clients=SimulatedClients(self._around.broker, kafka.request_timeout_ms / 1000),  # pyright: ignore[reportArgumentType]
            drain_timeout=settings.pipeline.drain_timeout,
            clock=self.clock,
            observer=observer,
        )

    def _caller(self, name: VenueName, permits: Permits, accounts: Accounts, observer: Any) -> VenueCaller:
        venue, real = self._around.paper[name], self._around.real[name]
        settings: VenueSettings = getattr(self._settings.venues, name)
        permits.register(name, venue.limits, call_timeout=settings.call_timeout)
        return VenueCaller(
            venue,
            settings,
            sender=SimulatedSender(self.process, real, settings.call_timeout, self._around.sends),
            venue_time=VenueClock(venue, self.clock),
            keys=accounts,
            permits=permits,
            clock=self.clock,
            max_in_flight=self._settings.pipeline.max_in_flight,
            observer=observer,
        )


def _nothing(*_args: Any, **_more: Any) -> None:
    return


def _is_replaced(error: BaseException) -> bool:
    """Whether a process ended because another one has its instance id, which is right."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return isinstance(error, UnreachableError) and "another process joined" in str(error)
