"""The composition root: builds every part from the settings, starts them, and takes them down in order.

Top to bottom: accounts, venues (session, clock, limits), the pipeline's shared parts, the group, the probes. Every
long-lived task belongs to the one TaskGroup here.

There is one way down, `_go_down`, the same from every state and bounded in each step: not ready any more, then drain
where there is something to drain, then cancel everything and wait a little; what hangs by then is left behind.
"""

import asyncio
import random
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from gateway.calls.clock_watch import ClockWatch
from gateway.calls.published_limits import PublishedLimits, limit_policies
from gateway.calls.venue_caller import VenueCaller
from gateway.calls.venue_clock import VenueClock
from gateway.clock import Clock, SystemClock
from gateway.kafka.bootstrap import BootstrapServers
from gateway.kafka.connection import UnreachableError, client_options, sends_password_in_clear, unreachable
from gateway.kafka.credentials import BrokerCredentials
from gateway.kafka.group import Group
from gateway.kafka.history import is_quiet
from gateway.kafka.partitioner import Partitioner
from gateway.kafka.past import PastReader
from gateway.kafka.policy_follower import PolicyFollower
from gateway.kafka.topics import check_topics, unmet
from gateway.kafka_clients import KafkaClients
from gateway.limits.connection import StoreAddress, shared_buckets
from gateway.limits.permits import Permits
from gateway.limits.shared import SharedBuckets
from gateway.ownership.ports import ForeignAnswersError
from gateway.pipeline.partition import QUIET
from gateway.pipeline.parts import Parts, build_parts
from gateway.policy.board import Board
from gateway.policy.guard import PolicyGuard
from gateway.settings.operators import operator_keys
from gateway.settings.secret_files import read_password
from gateway.settings.tree import Settings, VenueSettings
from gateway.tasks import lasting
from gateway.telemetry.health import GatewayHealth
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.observer import Telemetry
from gateway.telemetry.policy import PolicyTelemetry
from gateway.telemetry.sampling import Sampler
from gateway.telemetry.server import ObservabilityServer
from gateway.telemetry.traces import journeys, span_export
from gateway.transport.session import VenueSession
from gateway.venues.accounts import Accounts
from gateway.venues.catalogue import venues
from gateway.venues.venue import Venue
from schemas import VenueName

VENUES = venues()
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LEAVE_PATIENCE = 5.0  # seconds for what is cancelled to end; enough to leave the group at brokers that answer
SILENT_PATIENCE = 1.0  # the same, and for the drain, where no broker took a commit in time: nothing can be saved


async def run(
    settings: Settings,
    *,
    base_dir: Path,
    consumer_options: Mapping[str, Any] | None = None,
    keys_changed: Callable[[], None] = lambda: None,
    dropped_lines: Callable[[], int] = lambda: 0,
) -> None:
    """Run a gateway until SIGTERM, SIGINT or SIGHUP, then drain and leave.

    Args:
        settings: checked settings.
        base_dir: where relative file names start.
        consumer_options: for brokers that are not Kafka (`check_crcs`).
        keys_changed: called when key files have changed, before the new keys are used.
        dropped_lines: tells how many log lines were dropped, ever.

    Raises:
        UnreachableError: no broker, or not the topics; ListenError: the probes' address is taken;
        ForeignAnswersError: another group works on these topics; CredentialError: keys that cannot be used.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in STOP_SIGNALS:
        loop.add_signal_handler(name, stop.set)
    try:
        gateway = Gateway(
            settings,
            base_dir=base_dir,
            consumer_options=consumer_options,
            keys_changed=keys_changed,
            dropped_lines=dropped_lines,
        )
        await gateway.run(stop)
    except BaseExceptionGroup as errors:
        raise (_readable(errors) or errors) from None


def _readable(errors: BaseExceptionGroup) -> BaseException | None:
    """The first error in a task group whose text is for people; None where it has none."""
    unreached = errors.subgroup((UnreachableError, ForeignAnswersError))
    while isinstance(unreached, BaseExceptionGroup):
        unreached = unreached.exceptions[0]
    return unreached


class Gateway:
    """One gateway: every part, built and not yet started."""

    def __init__(
        self,
        settings: Settings,
        *,
        base_dir: Path,
        consumer_options: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
        keys_changed: Callable[[], None] = lambda: None,
        dropped_lines: Callable[[], int] = lambda: 0,
    ) -> None:
        clock = self._clock = clock or SystemClock()
        self._settings = settings
        self._base_dir = base_dir
        self._log = structlog.get_logger("gateway")
        self.metrics = Metrics()
        self.spans = span_export(settings)
        telemetry = Telemetry(self.metrics, journeys(self.spans, settings.kafka, clock))
        self.accounts = Accounts(
            settings.accounts, base_dir, clock=clock, observer=telemetry, keys_changed=keys_changed
        )
        self._sessions: dict[VenueName, VenueSession] = {
            name: self._session(venue) for name, venue in self._used().items()
        }
        self.shared = self._shared_buckets(clock, telemetry)
        self.permits = Permits(clock, self.shared)
        self.callers: dict[VenueName, VenueCaller] = {
            name: self._caller(VENUES[name], clock, telemetry) for name in self._sessions
        }
        self.clock_watch = ClockWatch(self.callers.values(), clock, telemetry)
        self.published_limits = PublishedLimits(self.callers.values(), self.permits, telemetry)
        self._options = client_options(settings.kafka, base_dir)  # one mapping, kept to the hosts that answer
        clients = KafkaClients(self._options, consumer_options or {})
        self.policy_telemetry = PolicyTelemetry(self.metrics)
        self.guard = PolicyGuard(clock, self.policy_telemetry, freeze_after=settings.policy.freeze_after)
        self.policy_telemetry.watch(self.guard)
        self.policy = self._policy_follower(clock, clients)
        self.partitioner = Partitioner(settings.kafka)
        self.parts = self._parts(clock, telemetry)
        self._servers = BootstrapServers(settings.kafka, self._options)
        self.group = Group(
            settings.kafka,
            parts=self.parts,
            partitioner=self.partitioner,
            clients=clients,
            past=PastReader(settings.kafka, clients),
            drain_timeout=settings.pipeline.drain_timeout,
            clock=clock,
            observer=telemetry,
        )
        self.credentials = BrokerCredentials(
            settings.kafka,
            base_dir,
            self._options,
            consumer=lambda: getattr(self.group, "consumer", None),
            observer=telemetry,
            secrets_changed=keys_changed,
        )
        self.sampler = Sampler(
            self.metrics,
            group=self.group,
            permits=self.permits,
            callers=self.callers,
            accounts=self.accounts,
            clock=clock,
            dropped_lines=dropped_lines,
            dropped_traces=lambda: 0 if self.spans is None else self.spans.dropped,
        )
        self.health = GatewayHealth(self.group, self.sampler, clock)
        self.server = ObservabilityServer(settings.http.listen, health=self.health, metrics=self.metrics)

    async def run(self, stop: asyncio.Event) -> None:
        """Start everything, work until `stop` is set, drain, and take everything down."""
        async with self.spans or nullcontext():
            await self._run(stop)
        self._log.info("stopped_gateway")

    async def _run(self, stop: asyncio.Event) -> None:
        await self.server.start()
        try:
            work = asyncio.create_task(self._work(), name="work")
            stopping = asyncio.create_task(stop.wait(), name="stop")
            await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if work.done():
                work.result()
            await self._go_down(work)
        finally:
            await self.server.stop()

    async def _work(self) -> None:
        """Start, and work until cancelled."""
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            tasks.create_task(lasting(self.sampler.run), name="samples")
            if self.shared:
                # Before the first call: the venues' clocks are asked with permits too.
                stack.push_async_callback(self.shared.close)
                tasks.create_task(lasting(self.shared.run), name="shared limits")
            await self._find_kafka()
            tasks.create_task(lasting(self.policy.run), name="policy")
            await self._learn_policy()
            if await is_quiet(self._settings.kafka, self._options, since=self._clock.wall() - QUIET):
                self.permits.assume_nothing()
            await self.connect(stack)
            self._log.info("started_gateway", probes=self.server.url)
            tasks.create_task(lasting(self._membership), name="group")
            tasks.create_task(lasting(self._servers.watch), name="bootstrap servers")
            tasks.create_task(lasting(self.credentials.watch), name="broker credentials")
            tasks.create_task(lasting(self.accounts.watch), name="accounts")
            tasks.create_task(lasting(self.clock_watch.run), name="clocks")
            tasks.create_task(lasting(self.published_limits.run), name="published limits")

    async def _go_down(self, work: asyncio.Task[None]) -> None:
        self._log.info("draining_gateway")
        kafka = self._settings.kafka
        heard = self.group.lease_remaining > 0
        patience = self._settings.pipeline.drain_timeout + kafka.request_timeout_ms / 1000
        try:
            async with asyncio.timeout(patience if heard else SILENT_PATIENCE):
                await self.group.drain()
        except TimeoutError:
            self._log.warning("cut_drain_short")
        work.cancel()
        await asyncio.wait((work,), timeout=LEAVE_PATIENCE if heard else SILENT_PATIENCE)
        if not work.done():
            self._log.warning("left_work_behind")
        elif not work.cancelled() and (error := work.exception()) is not None:
            self._log.warning("failed_leaving", error=repr(error))

    async def _find_kafka(self) -> None:
        """Find the brokers that answer, and the topics; UnreachableError where they are not."""
        if sends_password_in_clear(self._settings.kafka):
            self._log.warning(
                "sends_password_in_clear", remedy="kafka.security_protocol = SASL_SSL, or a SCRAM mechanism"
            )
        await self._servers.wait()
        await self._check_topics()

    async def _learn_policy(self) -> None:
        """Wait until the policy is known; UnreachableError where it is not in time, unless that freezes everything."""
        patience = self._settings.kafka.request_timeout_ms / 1000
        try:
            await self.policy.learn(patience, or_freeze=self._settings.policy.unreadable_at_start == "freeze")
        except KafkaError as error:
            raise unreachable(self._settings.kafka, error) from None

    async def connect(self, stack: AsyncExitStack) -> None:
        """Open the venues' sessions, closed by the stack, and learn their clocks."""
        for session in self._sessions.values():
            await session.start()
            stack.push_async_callback(session.close)
        await self.clock_watch.measure()

    def _policy_follower(self, clock: Clock, clients: KafkaClients) -> PolicyFollower:
        policy = self._settings.policy
        return PolicyFollower(
            self._settings.kafka.topics.policy,
            clients=clients,
            board=Board(operator_keys(policy, self._base_dir)),
            guard=self.guard,
            freeze_after=policy.freeze_after,
            clock=clock,
            observer=self.policy_telemetry,
        )

    def _used(self) -> dict[VenueName, Venue]:
        return {
            name: venue
            for name, venue in VENUES.items()
            if any(getattr(account, name) is not None for account in self._settings.accounts.values())
        }

    def _venue_settings(self, name: VenueName) -> VenueSettings:
        return getattr(self._settings.venues, name)

    def _session(self, venue: Venue) -> VenueSession:
        settings = self._venue_settings(venue.name)
        url = settings.base_url or venue.base_url
        return VenueSession(url, call_timeout=settings.call_timeout, client=settings.http_client, proxy=settings.proxy)

    def _shared_buckets(self, clock: Clock, telemetry: Telemetry) -> SharedBuckets | None:
        """None where no limit is shared; SecretFileError where the password's file is of no use."""
        if not any(limit.shared for name in VENUES for limit in self._venue_settings(name).limits.values()):
            return None
        redis, base_dir = self._settings.redis, self._base_dir
        address = StoreAddress(
            url=redis.url,
            username=redis.username,
            password=partial(read_password, "redis.password_file", base_dir / redis.password_file)
            if redis.password_file
            else None,
            ca=base_dir / redis.ssl_cafile if redis.ssl_cafile else None,
            replica=redis.replica or f"{socket.gethostname()}/{self._settings.http.listen}",
            share=redis.fallback_share,
        )
        return shared_buckets(address, clock=clock, observer=telemetry)

    def _caller(self, venue: Venue, clock: Clock, telemetry: Telemetry) -> VenueCaller:
        settings = self._venue_settings(venue.name)
        self.permits.register(venue.name, venue.limits, limit_policies(settings), call_timeout=settings.call_timeout)
        self.metrics.zero_limits(venue.name, [limit.name for limit in venue.limits])
        session = self._sessions[venue.name]
        return VenueCaller(
            venue,
            settings,
            sender=session,
            venue_time=VenueClock(venue, clock),
            keys=self.accounts,
            permits=self.permits,
            clock=clock,
            max_in_flight=self._settings.pipeline.max_in_flight,
            observer=telemetry,
        )

    def _parts(self, clock: Clock, telemetry: Telemetry) -> Parts:
        return build_parts(
            self._settings,
            venues=VENUES,
            callers=self.callers,
            accounts=self.accounts,
            partition_of=self.partitioner.partition_of,
            partition_change=self.partitioner.change,
            clock=clock,
            observer=telemetry,
            guard=self.guard,
            jitter=random.Random(),  # noqa: S311 - jitter, no secret
        )

    async def _check_topics(self) -> None:
        """UnreachableError where a promise hangs on what a topic is not; what is merely not as set is logged."""
        problems = await check_topics(self._settings, base_dir=self._base_dir, options=self._options)
        for problem in problems:
            self._log.warning("found_topic_problem", topic=problem.topic, problem=problem.problem)
        if (error := unmet(problems)) is not None:
            raise unreachable(self._settings.kafka, error)

    async def _membership(self) -> None:
        try:
            await self.group.run()
        except KafkaError as error:
            raise unreachable(self._settings.kafka, error) from error
