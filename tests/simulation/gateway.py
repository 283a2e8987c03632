"""One simulated gateway process: the real group, partitions, pipeline and permits over simulated Kafka and venues."""

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any

from gateway.calls.venue_caller import VenueCaller
from gateway.clock import Clock
from gateway.kafka.group import Group
from gateway.limits.permits import Permits
from gateway.ownership.lease import quarantine
from gateway.ownership.repeats import RepeatWindow
from gateway.pipeline.brake import Brake
from gateway.pipeline.command import Command
from gateway.pipeline.intake import Intake
from gateway.pipeline.partition import PartitionPolicy, Parts, lane_policy
from gateway.pipeline.rules import Deadline
from gateway.settings.tree import KafkaSettings, VenueSettings
from gateway.venues.credentials import Credentials
from schemas import VenueName
from tests.clocks import NOON
from tests.simulation.broker import Broker
from tests.simulation.clients import SimulatedClients
from tests.simulation.loop import Process, World
from tests.simulation.venue import RECEIVE_WINDOW, PaperVenue, RealVenue, SimulatedSender, SimulatedTime

KAFKA = KafkaSettings(
    session_timeout_ms=3_000,
    rebalance_timeout_ms=6_000,
    transaction_timeout_ms=4_000,
    request_timeout_ms=1_000,
    commit_interval=0.5,
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


class SimulatedClock:
    """A process's clocks: they run on while it is stopped."""

    def __init__(self, world: World, offset: float) -> None:
        self._world = world
        self._offset = offset

    def monotonic(self) -> float:
        return self._world.now + self._offset

    def wall(self) -> float:
        return self._world.now + NOON


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


class PaperAccounts:
    """Every account but one is known."""

    def __init__(self, accounts: tuple[str, ...]) -> None:
        self._credentials = {name: Credentials(api_key=name, signing_key=Key()) for name in accounts}

    def knows(self, venue: VenueName, account: str) -> bool:
        return account in self._credentials

    def credentials(self, venue: VenueName, account: str) -> Credentials:
        return self._credentials[account]

    def user(self, venue: VenueName, account: str) -> str:
        return account

    def accepted(self, venue: VenueName, account: str) -> None:
        return

    def refused(self, venue: VenueName, account: str, credentials: Credentials, message: str) -> None:
        raise AssertionError("no simulated venue refuses keys")


class Gateway:
    """A process and what runs in it."""

    def __init__(
        self,
        world: World,
        name: str,
        broker: Broker,
        venues: Mapping[VenueName, tuple[PaperVenue, RealVenue, VenueSettings]],
        *,
        accounts: tuple[str, ...],
        instance_id: str | None,
    ) -> None:
        self.process = Process(world, name)
        self.instance_id = instance_id
        self._broker = broker
        self._venues = venues
        self._accounts = PaperAccounts(accounts)
        self._stop = asyncio.Event()
        self._clock = SimulatedClock(world, world.random.uniform(0, 1e5))
        self._drain_timeout = world.random.choice((0.1, 1.5))
        self._clock_error = world.random.choice((0.0, 0.0, 5.0))
        self.left = False
        self._told = False
        self.process.call_soon(self._start)

    @property
    def running(self) -> bool:
        """Whether it lives, is not stopped and was not told to leave."""
        return self.process.alive and not self.process.stopped and not self._told

    def terminate(self) -> None:
        """As by SIGTERM."""
        self._told = True
        self.process.call_soon(self._stop.set)

    def _start(self) -> None:
        self.process.create_task(self._main())

    async def _main(self) -> None:
        try:
            await self._work()
        except Exception as error:
            self.process.world.errors.append(f"{self.process.name} died: {error!r}")
            raise
        self.left = True
        self.process.kill()

    async def _work(self) -> None:
        group = self._group()
        membership = asyncio.create_task(group.run())
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait([membership, stop], return_when=asyncio.FIRST_COMPLETED)
        if membership.done():
            stop.cancel()
            membership.result()
        await group.drain()
        membership.cancel()
        await asyncio.wait([membership])

    def _group(self) -> Group:
        parts = self._parts(Permits(self._clock), Silent(self.process), self._clock)
        settings = KAFKA if self.instance_id is None else _static(self.instance_id)
        group = Group(
            settings,
            parts=parts,
            clients=SimulatedClients(self._broker, settings.request_timeout_ms / 1000),  # pyright: ignore[reportArgumentType]
            drain_timeout=self._drain_timeout,
            clock=self._clock,
            observer=Silent(self.process),
        )
        self._partition_of = group.partition_of
        return group

    def _parts(self, permits: Permits, observer: Silent, clock: Clock) -> Parts:
        calls = {name: self._calls(name, permits, observer) for name in self._venues}
        jitter = Random(self.process.world.random.random())
        return Parts(
            policy=PartitionPolicy(
                topic=KAFKA.topics.commands,
                group=KAFKA.group_id,
                collect=0.005,
                transaction_patience=KAFKA.request_timeout_ms / 1000,
                quarantine=quarantine(
                    RECEIVE_WINDOW + max(settings.settles_within or 0.0 for _, _, settings in self._venues.values()),
                    RECEIVE_WINDOW,
                    KAFKA.session_timeout_ms / 1000,
                    static=self.instance_id is not None,
                ),
                max_incomplete=20,
                max_lane_queue=3,
                repeat_window=RepeatWindow(1_000, 600.0),
            ),
            intake=Intake(
                topic=KAFKA.topics.commands,
                venues={name: venue for name, (venue, _, _) in self._venues.items()},
                deadlines={name: Deadline(settings.deadline) for name, (_, _, settings) in self._venues.items()},
                accounts=self._accounts,
                partition_of=lambda key: self._partition_of(key),  # noqa: PLW0108 - it is made later
                clock=clock,
            ),
            calls=calls,
            lanes={name: lane_policy(caller, jitter) for name, caller in calls.items()},
            accounts=self._accounts,
            brake=Brake(dict.fromkeys(self._venues, VENUE.dead_letters_per_minute)),
            clock=clock,
            observer=observer,
        )

    def _calls(self, name: VenueName, permits: Permits, observer: Silent) -> VenueCaller:
        venue, real, settings = self._venues[name]
        permits.register(name, venue.limits)
        return VenueCaller(
            venue,
            settings,
            sender=SimulatedSender(self.process, real, settings.call_timeout),
            venue_time=SimulatedTime(self.process, self._clock_error),
            keys=self._accounts,
            permits=permits,
            clock=self._clock,
            max_in_flight=16,
            observer=observer,
        )


def _static(instance_id: str) -> KafkaSettings:
    return KafkaSettings(
        session_timeout_ms=KAFKA.session_timeout_ms,
        rebalance_timeout_ms=KAFKA.rebalance_timeout_ms,
        transaction_timeout_ms=KAFKA.transaction_timeout_ms,
        request_timeout_ms=KAFKA.request_timeout_ms,
        commit_interval=KAFKA.commit_interval,
        group_instance_id=instance_id,
    )


def _nothing(*_args: Any, **_more: Any) -> None:
    return
