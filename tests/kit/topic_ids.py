"""aiokafka's client, as far as a topic's id is asked of it; `COMMANDS` is the topic."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from aiokafka import AIOKafkaConsumer

from gateway.clock import Clock
from gateway.kafka.commands_topic import CommandsTopic
from gateway.kafka.topic_id import MetadataRequest

COMMANDS = "commands"


class TopicIds:
    """Answers with the id that it has.

    Attributes:
        number: which topic of the name this is.
        nodes: who was asked.
        during: called while a question is on its way.
    """

    def __init__(self) -> None:
        self.number = 1
        self.nodes: list[int] = []
        self.error: Exception | None = None
        self.during: Callable[[], object] = lambda: None
        self.cluster = SimpleNamespace(leader_for_partition=lambda _: 5)

    def get_random_node(self) -> int:
        return 0

    async def send(self, node: int, request: MetadataRequest) -> SimpleNamespace:
        self.nodes.append(node)
        await asyncio.sleep(0)
        self.during()
        if self.error is not None:
            raise self.error
        return SimpleNamespace(topics=[(0, COMMANDS, b"%16d" % self.number)])


def topic_of(client: Any, clock: Clock) -> CommandsTopic:
    """The topic as a membership on this client finds it."""
    consumer = cast("AIOKafkaConsumer", SimpleNamespace(_client=client))
    return CommandsTopic(consumer, COMMANDS, patience=0.2, clock=clock)
