"""aiokafka's coordinator, as far as a topic's id is asked of it; `COMMANDS` is the topic."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

from aiokafka import AIOKafkaConsumer

from gateway.clock import Clock
from gateway.kafka.commands_topic import CommandsTopic
from gateway.kafka.topic_id import NO_ID, MetadataRequest

COMMANDS = "commands"


class TopicIds:
    """Answers with the id that it has.

    Attributes:
        number: which topic of the name this is; None: the broker has no ids.
        asked: how often.
        during: called while a question is on its way.
    """

    def __init__(self) -> None:
        self.number: int | None = 1
        self.asked = 0
        self.error: Exception | None = None
        self.during: Callable[[], object] = lambda: None

    async def _send_req(self, _request: MetadataRequest) -> SimpleNamespace:
        self.asked += 1
        await asyncio.sleep(0)
        self.during()
        if self.error is not None:
            raise self.error
        return SimpleNamespace(topics=[(0, COMMANDS, NO_ID if self.number is None else b"%16d" % self.number)])


def topic_of(ids: TopicIds, clock: Clock) -> CommandsTopic:
    """The topic as a membership finds it."""
    consumer = cast("AIOKafkaConsumer", SimpleNamespace(_coordinator=ids))
    return CommandsTopic(consumer, COMMANDS, patience=0.2, clock=clock)
