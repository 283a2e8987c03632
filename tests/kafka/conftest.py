"""Brokers, and answer logs on them."""

import contextlib
from collections.abc import Generator

import pytest

from gateway.clock import SystemClock
from gateway.kafka.answer_log import KafkaAnswerLog
from gateway.kafka.tail import Groups
from gateway.kafka_clients import KafkaClients
from schemas.topics import Topics
from tests.kafka.secured import Secured


@pytest.fixture(scope="session")
def secured(kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[Secured]:
    """The broker with an authorizer and a listener of each kind, one for all that needs it."""
    secured = Secured(tmp_path_factory.mktemp("secured"))
    try:
        secured.start()
        yield secured
    finally:
        secured.stop()


@pytest.fixture
async def open_log(kafka_bootstrap: str, topics: Topics):
    async with contextlib.AsyncExitStack() as stack:

        def make(
            partition: int = 1,
            transaction_timeout_ms: int = 10_000,
            transactional_id: str | None = None,
            former: tuple[str, ...] = (),
            clients: KafkaClients | None = None,
        ) -> KafkaAnswerLog:
            log = KafkaAnswerLog(
                clients=clients or KafkaClients({"bootstrap_servers": kafka_bootstrap}),
                topics=topics,
                partition=partition,
                transactional_id=transactional_id or f"{topics.commands}-{partition}",
                groups=Groups("ours", former),
                transaction_timeout_ms=transaction_timeout_ms,
                patience=10,
                clock=SystemClock(),
            )
            stack.push_async_callback(log.close)
            return log

        yield make
