"""What the group gave us of one partition, as long as it is ours."""

import asyncio

from gateway.kafka.answer_log import KafkaAnswerLog
from gateway.kafka.membership import PartitionOwnership
from gateway.pipeline.partition import Partition


class Assignment:
    """A partition as long as one assignment lasts: its claim, its answer log, and the task that works for it."""

    def __init__(self, claim: PartitionOwnership, log: KafkaAnswerLog) -> None:
        self.claim = claim
        self.log = log
        self.partition: Partition | None = None
        self.task: asyncio.Task[None] | None = None
        self.paused = True
