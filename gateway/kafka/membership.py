# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false
# aiokafka ships no types.
"""This instance's claim to all that one generation of the group gave it, until the next generation."""

import asyncio
from typing import cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import CommitFailedError, IllegalStateError
from aiokafka.structs import OffsetAndMetadata

from gateway.clock import Clock
from gateway.kafka.commands_topic import CommandsTopic, unmarked
from gateway.kafka.static_member import is_replaced
from gateway.kafka_clients import KafkaClients
from gateway.ownership.lease import Lease
from gateway.ownership.ledger import Checkpoint
from gateway.ownership.ports import NotOwnerError
from gateway.settings.tree import KafkaSettings

METADATA_AGE_MS = 5_000  # after which added partitions are seen: until then keys are expected where they were
FETCH_WAIT_MS = 50  # at the broker: what has room again, or is read up, is not in the fetch that is under way


class Membership:
    """The group's word that we are who we were: consumer, generation and lease of one assignment.

    aiokafka commits with whatever generation it has at the moment. After the group threw us out that is -1, which the
    broker accepts from anybody while the group is empty; so the generation is held here and compared.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, topic: CommandsTopic, lease: Lease, clock: Clock, patience: float
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._lease = lease
        self._clock = clock
        self._patience = patience
        self._committing = asyncio.Lock()  # an open mark that waited must not follow the clean one of the end
        self._identity = self._current()
        self.held = True

    def lose(self) -> None:
        """Nothing is ours any more."""
        self.held = False

    async def commit(self, checkpoints: dict[TopicPartition, Checkpoint]) -> None:
        """Commit and so renew the lease; NotOwnerError where the group refuses. TimeoutError or KafkaError else."""
        async with asyncio.timeout(self._patience), self._committing:
            if not self.held or self._current() != self._identity:
                raise NotOwnerError("the group has moved on")
            if not checkpoints:
                return  # nothing is owned that could be lost, and aiokafka takes no empty commit
            begun = self._clock.monotonic()
            await self._commit(checkpoints)
            if self._current() != self._identity:
                self.lose()
                raise NotOwnerError("the group moved on during a commit")
            self._lease.renew(begun)

    async def committed(self, tp: TopicPartition) -> Checkpoint:
        """The partition's checkpoint; where none was ever committed, its first offset and no clean mark.

        One that is of a topic deleted since tells only that there was an owner. TopicMadeAnewError where it goes now.
        """
        await self._topic.check()
        async with asyncio.timeout(self._patience):
            found = await self._coordinator.fetch_committed_offsets([tp])  # the public call drops the metadata
            commit = found.get(tp)
            is_first = commit is None or commit.offset < 0
            if commit is not None and not is_first and self._topic.is_of(commit.metadata or ""):
                return Checkpoint.read(commit.offset, unmarked(commit.metadata or ""))
            beginning = await self._consumer.beginning_offsets([tp])
        return Checkpoint.read(beginning[tp], "")._replace(is_first=is_first, is_anew=not is_first)

    async def beginning(self, tp: TopicPartition) -> int:
        """The offset of the oldest command there is."""
        async with asyncio.timeout(self._patience):
            return (await self._consumer.beginning_offsets([tp]))[tp]

    async def end(self, tp: TopicPartition) -> int:
        """The offset of the next command to come."""
        async with asyncio.timeout(self._patience):
            return (await self._consumer.end_offsets([tp]))[tp]

    async def is_replaced(self, instance_id: str) -> bool:
        """Whether another process has taken our group instance id since we were given what we have."""
        return await is_replaced(self._coordinator, self._identity, instance_id, patience=self._patience)

    async def _commit(self, checkpoints: dict[TopicPartition, Checkpoint]) -> None:
        offsets = {
            tp: OffsetAndMetadata(point.offset, self._topic.marked(point.metadata)) for tp, point in checkpoints.items()
        }
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            self.lose()
            raise NotOwnerError(str(error)) from error

    @property
    def _coordinator(self) -> GroupCoordinator:
        """Generation, member id and the metadata of commits have no public reader."""
        return cast("GroupCoordinator", self._consumer._coordinator)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    def _current(self) -> tuple[int, str]:
        return self._coordinator.generation, self._coordinator.member_id


class MembershipBrokenError(Exception):
    """Raised where a membership will never again hand out records, though commits may still be accepted."""


def ended_task(consumer: AIOKafkaConsumer) -> str | None:
    """Which task of the client library has ended though it works for as long as the consumer does; None: they all run.

    aiokafka's heartbeat, coordination and fetch tasks end at an error that they do not know, and nobody is told.
    """
    parts = (
        ("coordination", getattr(consumer._coordinator, "_coordination_task", None)),  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        ("fetch", getattr(getattr(consumer, "_fetcher", None), "_fetch_task", None)),
    )
    for name, task in parts:
        if isinstance(task, asyncio.Task) and task.done():
            error = None if task.cancelled() else task.exception()
            return f"{name} task has ended: {error!r}"
    return None


def make_member(settings: KafkaSettings, clients: KafkaClients) -> AIOKafkaConsumer:
    """A consumer that will be a member of the group; it is not started."""
    return clients.consumer(
        request_timeout_ms=settings.request_timeout_ms + settings.rebalance_timeout_ms,
        group_id=settings.group_id,
        group_instance_id=settings.group_instance_id,
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=max(100, settings.session_timeout_ms // 10),
        rebalance_timeout_ms=settings.rebalance_timeout_ms,
        metadata_max_age_ms=METADATA_AGE_MS,
        max_poll_interval_ms=max(300_000, settings.rebalance_timeout_ms),
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )


async def leave_group(consumer: AIOKafkaConsumer, clients: KafkaClients, *, patience: float) -> None:
    """Leave the group and stop, both in bounded time: over TLS the one is over long before the other.

    Raises:
        TimeoutError, KafkaError: the group may not know it, and then waits for a session's end.
    """
    coordinator = cast("GroupCoordinator | None", consumer._coordinator)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    try:
        if coordinator is not None:
            async with asyncio.timeout(patience):
                await coordinator.close()
    finally:
        await clients.stop(consumer)
