"""The contract of an answer log, kept by Kafka's on a real broker and on paper, and by the one in memory."""

import pytest

from gateway.kafka.answer_log import KafkaAnswerLog
from gateway.kafka.tail import Groups
from schemas.topics import Topics
from tests.kit.answer_log import AnswerTopics, MemoryAnswerLog
from tests.kit.answer_log_contract import RULES, Rule
from tests.kit.world import LoopClock, World, on_virtual_time
from tests.simulation.broker import Broker
from tests.simulation.clients import SimulatedClients

every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)


@pytest.mark.kafka
@every_rule
async def test_on_a_real_broker(rule: Rule, open_log):
    await rule(open_log)


@every_rule
def test_on_a_broker_on_paper(rule: Rule):
    async def main(world: World) -> None:
        broker = Broker(world, 1, session_timeout=3.0, rebalance_timeout=6.0)

        def open_log() -> KafkaAnswerLog:
            return KafkaAnswerLog(
                clients=SimulatedClients(broker, 1.0),  # pyright: ignore[reportArgumentType]
                topics=Topics(),
                partition=0,
                transactional_id="id",
                groups=Groups("ours", ()),
                transaction_timeout_ms=4_000,
                patience=10,
                clock=LoopClock(world),
            )

        await rule(open_log)

    on_virtual_time(main)


@every_rule
async def test_in_memory(rule: Rule):
    topics = AnswerTopics()
    await rule(lambda: MemoryAnswerLog(topics))
