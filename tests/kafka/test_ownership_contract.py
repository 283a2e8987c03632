"""The contract of an ownership, kept by Kafka's on a real broker and on paper, and by the one in memory."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import count
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition

from gateway.clock import Clock, SystemClock
from gateway.kafka.assignment import PartitionOwnership
from gateway.kafka.commands_topic import CommandsTopic
from gateway.kafka.membership import Membership, leave_group, make_member
from gateway.kafka_clients import KafkaClients
from gateway.ownership.lease import Lease
from gateway.ownership.ports import Ownership
from gateway.settings.tree import KafkaSettings
from schemas.topics import Topics
from tests.kit.bench import command, record
from tests.kit.ownership import MemoryGroup
from tests.kit.ownership_contract import RULES, Rule
from tests.kit.world import LoopClock, World, on_virtual_time
from tests.simulation.broker import Broker
from tests.simulation.clients import SimulatedClients

PATIENCE = 5.0
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)


class Assigned(ConsumerRebalanceListener):
    """Sees when a member has its partitions."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        return

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.event.set()


class KafkaClaims:
    """Members of a group under one instance id; `send` brings the command of an offset."""

    def __init__(self, clients: Any, clock: Clock, topic: str, send: Callable[[int], Awaitable[object]]) -> None:
        names = Topics(commands=topic)
        self._settings = KafkaSettings(group_id=topic, group_instance_id="same", topics=names, partitions=1)
        self._clients = cast("KafkaClients", clients)
        self._clock = clock
        self._send = send
        self._members: list[AIOKafkaConsumer] = []
        self._offsets = count()

    async def claim(self) -> Ownership:
        consumer, listener = make_member(self._settings, self._clients), Assigned()
        self._members.append(consumer)
        consumer.subscribe([self._settings.topics.commands], listener=listener)
        await self._clients.start(consumer)
        await listener.event.wait()
        topic = CommandsTopic(consumer, self._settings.topics.commands, patience=PATIENCE, clock=self._clock)
        membership = Membership(consumer, topic, Lease(self._settings.lease), self._clock, PATIENCE)
        return PartitionOwnership(membership, TopicPartition(self._settings.topics.commands, 0))

    async def arrive(self, count: int) -> None:
        for _ in range(count):
            await self._send(next(self._offsets))

    async def leave(self) -> None:
        """Let all of them go."""
        for consumer in self._members:
            await leave_group(consumer, self._clients, patience=PATIENCE)


class MemoryClaims:
    """In memory."""

    def __init__(self) -> None:
        self._group = MemoryGroup()

    async def claim(self) -> Ownership:
        return self._group.claim()

    async def arrive(self, count: int) -> None:
        self._group.end += count


@pytest.mark.kafka
@pytest.mark.parametrize("topics", [1], indirect=True)
@every_rule
async def test_on_a_real_broker(rule: Rule, topics: Topics, kafka_bootstrap: str):
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:

        async def send(offset: int) -> None:
            await producer.send_and_wait(topics.commands, b"%d" % offset, partition=0)

        clients = KafkaClients({"bootstrap_servers": kafka_bootstrap})
        claims = KafkaClaims(clients, SystemClock(), topics.commands, send)
        try:
            await rule(claims)
        finally:
            await claims.leave()


@every_rule
def test_on_a_broker_on_paper(rule: Rule):
    async def main(world: World) -> None:
        broker = Broker(world, 1, session_timeout=3.0, rebalance_timeout=6.0)

        async def send(offset: int) -> None:
            broker.produce(record(command(), offset))

        claims = KafkaClaims(SimulatedClients(broker, PATIENCE), LoopClock(world), Topics().commands, send)
        await rule(claims)
        await claims.leave()

    on_virtual_time(main)


@every_rule
async def test_in_memory(rule: Rule):
    await rule(MemoryClaims())
