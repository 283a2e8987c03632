"""What the group gave us of one partition, as long as it is ours."""

import asyncio

from aiokafka import TopicPartition

from gateway.kafka.answer_log import KafkaAnswerLog
from gateway.kafka.membership import Membership
from gateway.ownership.ledger import Checkpoint
from gateway.pipeline.partition import Partition


class PartitionOwnership:
    """One partition's share of a membership (the pipeline's `Ownership`)."""

    def __init__(self, membership: Membership, tp: TopicPartition) -> None:
        self._membership = membership
        self._tp = tp

    @property
    def topic(self) -> str:
        """The commands' topic."""
        return self._tp.topic

    @property
    def partition(self) -> int:
        """The partition's number."""
        return self._tp.partition

    @property
    def held(self) -> bool:
        """Whether nothing has told yet that it is lost."""
        return self._membership.held

    async def committed(self) -> Checkpoint:
        """The last checkpoint."""
        return await self._membership.committed(self._tp)

    async def renew(self, checkpoint: Checkpoint) -> None:
        """Commit, as proof of ownership."""
        await self._membership.commit({self._tp: checkpoint})

    async def beginning(self) -> int:
        """The offset of the oldest command that the partition still has."""
        return await self._membership.beginning(self._tp)

    async def end(self) -> int:
        """The offset that the partition's next command will get."""
        return await self._membership.end(self._tp)


class Assignment:
    """A partition as long as one assignment lasts: its ownership, its answer log, and the task that works for it."""

    def __init__(self, ownership: PartitionOwnership, log: KafkaAnswerLog) -> None:
        self.ownership = ownership
        self.log = log
        self.partition: Partition | None = None
        self.task: asyncio.Task[None] | None = None
        self.is_full = False
