# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false
# aiokafka ships no types.
"""This instance's membership in the consumer group: what it owns, what it fetches, what it commits, how it leaves.

Before it stands the broker; behind it one `pipeline.Partition` for every partition owned. The commit is also the proof
of ownership and renews the lease. Rebalancing is eager: every rebalance revokes everything and assigns anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from gateway.clock import Clock
from gateway.kafka.answer_log import KafkaAnswerLog
from gateway.kafka.assignment import Assignment, PartitionOwnership
from gateway.kafka.commands_topic import CommandsTopic, TopicMadeAnewError
from gateway.kafka.connection import UnreachableError, is_kafkas
from gateway.kafka.fetch import CommandReader
from gateway.kafka.group_observer import GroupObserver
from gateway.kafka.membership import (
    Membership,
    MembershipBrokenError,
    ended_task,
    leave_group,
    make_member,
)
from gateway.kafka.partitioner import Partitioner
from gateway.kafka.past import PastReader
from gateway.kafka.tail import Groups
from gateway.kafka_clients import KafkaClients
from gateway.ownership.lease import Lease
from gateway.ownership.ledger import Checkpoint
from gateway.ownership.ports import NotOwnerError
from gateway.ownership.takeover import take_over
from gateway.pipeline.partition import Partition
from gateway.pipeline.parts import Parts
from gateway.settings.tree import KafkaSettings
from gateway.tasks import UnaskedCancellationError, lasting

FETCH_RECORDS = 100  # fed in one turn of the loop
FETCH_MS = 200
FULL_MS = 20  # while something is full: a fetch has nothing to wake it up when there is room again


class Group(ConsumerRebalanceListener):
    """One member of the group, and everything it owns.

    Attributes:
        consumer: the present one; `run` makes it, and another where it joins anew.
        lease: for how long calls may start for what is owned.
        joined: the group has assigned something, perhaps nothing, since `consumer` was made.
        is_draining: nothing is taken over any more.
        last_fetch: monotonic seconds of the last fetch that did not fail.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        parts: Parts,
        partitioner: Partitioner,
        clients: KafkaClients,
        past: PastReader | None = None,
        drain_timeout: float,
        clock: Clock,
        observer: GroupObserver,
    ) -> None:
        self._settings = settings
        self._parts = parts
        self._clients = clients
        self._past = past
        self._drain_timeout = drain_timeout
        self._clock = clock
        self._observer = observer
        self._patience = settings.request_timeout_ms / 1000
        self._owned: dict[TopicPartition, Assignment] = {}
        self._membership: Membership | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self.is_draining = False
        self._is_replaced = False
        self._partitioner = partitioner
        self.lease = Lease(settings.lease)
        self.last_fetch = clock.monotonic()
        self._fetch_error: BaseException | None = None
        self.joined = False
        self.consumer: AIOKafkaConsumer  # made by `run`: one that is made and never started complains
        self._topic: CommandsTopic
        self._reader: CommandReader

    @property
    def partitions(self) -> list[Partition]:
        """What is owned now."""
        return [owned.partition for owned in self._owned.values() if owned.partition is not None]

    @property
    def taking_over(self) -> int:
        """Owned partitions that are not worked on yet."""
        return sum(owned.partition is None for owned in self._owned.values())

    @property
    def lease_remaining(self) -> float:
        """Seconds for which calls may still start without another accepted commit."""
        return self.lease.remaining(self._clock.monotonic())

    @property
    def incomplete(self) -> dict[int, int]:
        """Commands fetched and not answered, by partition."""
        return {tp.partition: owned.partition.incomplete for tp, owned in self._owned.items() if owned.partition}

    @property
    def unread(self) -> dict[int, int]:
        """Offsets that the broker had after the last record fetched, when it was last asked, by partition."""
        return self._reader.unread() if self._owned else {}

    @property
    def paused(self) -> int:
        """Owned partitions that are not read from now: full, or not taken over yet."""
        return sum(owned.is_full or owned.partition is None for owned in self._owned.values())

    @property
    def is_fetching(self) -> bool:
        """Whether the last fetch did not fail."""
        return self._fetch_error is None

    async def run(self) -> None:
        """Join, and work until cancelled; call `drain` first to leave in order.

        A membership that is of no use any more is left, and the group joined anew: its errors do not heal by waiting.

        Raises:
            UnreachableError: another process has our group instance id; alone, or in an exception group.
        """
        has_worked = False
        while True:
            self._check_replaced()
            try:
                await lasting(self._work_as_member)
            except* (MembershipBrokenError, TopicMadeAnewError, UnaskedCancellationError) as broken:
                has_worked = True
                self._observer.kafka_failed("keep the membership; joining anew", broken.exceptions[0])
            except* (KafkaError, TimeoutError) as unreached:
                if not has_worked:
                    raise
                self._observer.kafka_failed("join anew", unreached)
                await asyncio.sleep(self._settings.commit_interval)

    async def _work_as_member(self) -> None:
        self.joined = False
        self.last_fetch = self._clock.monotonic()
        self.consumer = make_member(self._settings, self._clients)
        name = self._settings.topics.commands
        self._topic = CommandsTopic(self.consumer, name, patience=self._patience, clock=self._clock)
        self._reader = CommandReader(
            self.consumer, self._topic, patience=self._patience, clock=self._clock, observer=self._observer
        )
        self.consumer.subscribe([name], listener=self)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks  # before the start: it returns after the first assignment
                try:
                    await self._clients.start(self.consumer)
                    tasks.create_task(self._ending(self._watch), name="watch")
                    tasks.create_task(self._ending(self._commit), name="commit")
                    await self._poll()
                finally:
                    self._tasks = None
        finally:
            await asyncio.shield(self._leave())

    async def _ending(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do what the membership ends with: once it failed the task group takes nothing, so what comes is nobody's."""
        try:
            await lasting(work)
        except Exception:
            self._tasks = None
            raise

    async def drain(self) -> None:
        """Start nothing new, answer what is in flight, commit; the group is left when `run` is cancelled."""
        self.is_draining = True
        if self.joined:
            await self._give_up()

    async def on_partitions_revoked(  # pyright: ignore[reportIncompatibleMethodOverride] - aiokafka awaits either kind
        self,
        revoked: Iterable[TopicPartition],  # noqa: ARG002 - eager rebalancing revokes all there is
    ) -> None:
        """Called by aiokafka before every rebalance, and alike when the group has thrown us out.

        Who was replaced under his own id must not join again: he would only take it back.
        """
        membership, instance_id = self._membership, self._settings.group_instance_id
        if membership is not None and instance_id is not None:
            self._is_replaced = await membership.is_replaced(instance_id)
        if self._owned:
            await self._give_up()
        if self._is_replaced:
            raise asyncio.CancelledError  # which alone ends the client library's task

    async def on_partitions_assigned(  # pyright: ignore[reportIncompatibleMethodOverride] - as above
        self, assigned: Iterable[TopicPartition]
    ) -> None:
        """Called by aiokafka while records may already be handed out: so pause first, and take over in tasks."""
        mine = sorted(tp for tp in assigned if tp.topic == self._settings.topics.commands)
        self.consumer.pause(*mine)
        self.joined = True
        if self._tasks is None or self.is_draining:
            return
        membership = self._membership = Membership(self.consumer, self._topic, self.lease, self._clock, self._patience)
        for tp in mine:
            self._take_over(tp, membership, self._tasks)
        self._observer.assigned([tp.partition for tp in mine])
        self._partitioner.count(self.consumer)
        if (change := self._partitioner.change()) is not None:
            self._observer.repartitioned(change)

    def _take_over(self, tp: TopicPartition, membership: Membership, tasks: asyncio.TaskGroup) -> None:
        log = KafkaAnswerLog(
            clients=self._clients,
            topics=self._settings.topics,
            partition=tp.partition,
            transactional_id=f"{self._settings.group_id}-{tp.topic}-{tp.partition}",
            groups=Groups(self._settings.group_id, self._settings.former_group_ids),
            transaction_timeout_ms=self._settings.transaction_timeout_ms,
            patience=self._patience,
            clock=self._clock,
        )
        owned = self._owned[tp] = Assignment(PartitionOwnership(membership, tp), log)
        owned.task = tasks.create_task(self._ending(partial(self._work, tp, owned)), name=f"partition {tp.partition}")

    async def _work(self, tp: TopicPartition, owned: Assignment) -> None:
        """Run a partition; where Kafka fails while it is taken over, take it over again, for as long as it is ours."""
        while True:
            if await self._has_ended(tp, owned):
                return
            await asyncio.sleep(self._settings.commit_interval)

    async def _run(self, tp: TopicPartition, owned: Assignment) -> None:
        window = self._parts.policy.repeat_window
        try:
            inheritance = await take_over(owned.ownership, owned.log, window, self._parts.observer)
        except NotOwnerError:
            return
        past = None if self._past is None else partial(self._past.read, tp.partition)
        owned.partition = Partition(
            self._parts, inheritance, ownership=owned.ownership, log=owned.log, lease=self.lease, past=past
        )
        self._reader.start(tp, owned.partition.position)
        owned.is_full = False
        self._observer.restored(tp.partition, owned.partition.position)
        await owned.partition.run()

    async def _has_ended(self, tp: TopicPartition, owned: Assignment) -> bool:
        """Run a partition until it is lost; False where Kafka failed, or a cancellation came out of the library."""
        owned.partition = None
        running = asyncio.ensure_future(self._run(tp, owned))
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            running.cancel()
            await asyncio.wait([running])
            raise
        error = asyncio.CancelledError() if running.cancelled() else running.exception()
        if error is None:
            return True
        if is_kafkas(error):
            self._observer.kafka_failed(f"take partition {tp.partition} over", error)
            return False
        raise error

    async def _poll(self) -> None:
        while True:
            try:
                full = {tp for tp, owned in self._owned.items() if owned.is_full}
                timeout_ms = FULL_MS if full else FETCH_MS
                batches = await self._reader.fetch(timeout_ms=timeout_ms, max_records=FETCH_RECORDS, full=full)
            except TopicMadeAnewError:
                await self._commit_once()  # the broker has forgotten that anybody was here; the next owner must know
                raise
            except (KafkaError, TimeoutError) as error:
                self._fetch_error = error
                self._observer.kafka_failed("fetch", error)
                await asyncio.sleep(self._settings.commit_interval)
                continue
            self.last_fetch, self._fetch_error = self._clock.monotonic(), None
            self._partitioner.count(self.consumer)
            for tp, records in batches.items():
                owned = self._owned.get(tp)
                if owned is not None and owned.partition is not None:
                    owned.partition.feed(records)
            self._regulate()
            await asyncio.sleep(0)  # what was fetched before is handed out without a turn of the loop

    async def _watch(self) -> None:
        """Beside the fetches: one that waits for an assignment never ends where the library's coordination did."""
        while True:
            self._check_membership()
            await asyncio.sleep(FETCH_MS / 1000)

    def _check_replaced(self) -> None:
        if self._is_replaced:
            raise UnreachableError(
                f"another process joined {self._settings.group_id} as {self._settings.group_instance_id}: "
                "kafka.group_instance_id must be its own for every process"
            )

    def _check_membership(self) -> None:
        """MembershipBrokenError where fetching has failed for a session, or a task of the client library has ended.

        UnreachableError where another process has our group instance id.
        """
        self._check_replaced()
        silence = self._clock.monotonic() - self.last_fetch
        if silence > self._settings.session_timeout_ms / 1000 and self._fetch_error is not None:
            raise MembershipBrokenError(f"no fetch succeeded for {silence:.0f} s: {self._fetch_error!r}")
        ended = ended_task(self.consumer)
        if ended is not None:
            raise MembershipBrokenError(f"aiokafka's {ended}")

    def _regulate(self) -> None:
        for owned in self._owned.values():
            if owned.partition is not None:
                owned.is_full = not owned.partition.has_room if owned.is_full else owned.partition.full

    async def _commit(self) -> None:
        while True:
            await asyncio.sleep(self._settings.commit_interval)
            await self._commit_once()

    async def _commit_once(self) -> bool:
        membership = self._membership
        if membership is None or not membership.held:
            return False
        try:
            await membership.commit(self._checkpoints())
        except NotOwnerError:
            if membership is self._membership:  # else the answer came late, and what is owned now is not meant
                self._drop()
            return False
        except (KafkaError, TimeoutError) as error:
            self._observer.kafka_failed("commit", error)
            return False
        return True

    def _checkpoints(self) -> dict[TopicPartition, Checkpoint]:
        points = {tp: owned.partition.checkpoint() for tp, owned in self._owned.items() if owned.partition}
        return {tp: point for tp, point in points.items() if point is not None}

    async def _give_up(self) -> None:
        """Ask by committing whether it is still ours; if so drain in bounded time and commit what that gave."""
        numbers = [tp.partition for tp in self._owned]
        clean = False
        if await self._commit_once():
            working = {tp: owned.partition for tp, owned in self._owned.items() if owned.partition}
            drained = await asyncio.gather(*(partition.drain(self._drain_timeout) for partition in working.values()))
            points = {tp: point for tp, point in zip(working, drained, strict=True) if point is not None}
            clean = await self._last_commit(points) and all(point.clean for point in points.values())
        self._drop()
        await self._close(self._owned)
        self._reader.forget(self._owned)
        self._owned = {}
        self._observer.revoked(numbers, clean=clean)

    async def _last_commit(self, points: dict[TopicPartition, Checkpoint]) -> bool:
        if self._membership is None:
            return False
        try:
            await self._membership.commit(points)
        except (NotOwnerError, KafkaError, TimeoutError) as error:
            self._observer.kafka_failed("commit on leaving", error)
            return False
        return True

    def _drop(self) -> None:
        if self._membership is not None:
            self._membership.lose()
        self.lease.end()
        for owned in self._owned.values():
            if owned.task is not None:
                owned.task.cancel()

    async def _close(self, owned: dict[TopicPartition, Assignment]) -> None:
        if owned:
            await asyncio.wait([one.task for one in owned.values() if one.task is not None])
            await asyncio.gather(*(one.log.close() for one in owned.values()))

    async def _leave(self) -> None:
        self._drop()
        await self._close(self._owned)
        self._owned = {}
        self.joined = False
        try:
            await leave_group(self.consumer, self._clients, patience=self._patience)
        except (TimeoutError, KafkaError) as error:
            self._observer.kafka_failed("leave the group", error)
