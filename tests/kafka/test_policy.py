"""The policy topic on a real broker: followed by every replica, lost and found, never made by looking."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from gateway.clock import SystemClock
from gateway.kafka.policy_follower import PolicyFollower
from gateway.kafka.policy_topic import read_policy, write_policy
from gateway.kafka_clients import KafkaClients
from gateway.policy.board import NO_OPERATORS, Board
from gateway.policy.guard import PolicyGuard
from tests.policy.desk import after, applied, freeze
from tests.policy.test_guard import Counted

PATIENCE = 30.0


class Told(Counted):
    """Keeps what the follower tells."""

    def ruled(self, ruling):
        self.told.append("ruled")

    def refused_policy(self, key, objection):
        self.told.append(f"refused {key}")

    def lost_policy(self, error, freezes_in):
        self.told.append("lost")

    def froze_blind(self):
        self.told.append("blind")

    def found_policy(self):
        self.told.append("found")


class Replica:
    """A guard and its follower."""

    def __init__(self, topic, bootstrap, freeze_after=60.0):
        self.told = Told()
        self.guard = PolicyGuard(SystemClock(), self.told, freeze_after=freeze_after)
        self.follower = PolicyFollower(
            topic,
            clients=KafkaClients({"bootstrap_servers": bootstrap, "request_timeout_ms": 5000}),
            board=Board(),
            guard=self.guard,
            freeze_after=freeze_after,
            clock=SystemClock(),
            observer=self.told,
        )

    @property
    def stops(self):
        return [stop.name for stop in self.guard.stops]

    async def until(self, is_so):
        async with asyncio.timeout(PATIENCE):
            while not is_so():  # noqa: ASYNC110 - what is waited for is no event of ours
                await asyncio.sleep(0.01)


@asynccontextmanager
async def following(*replicas):
    tasks = [asyncio.create_task(replica.follower.run()) for replica in replicas]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
def options(kafka_bootstrap):
    return {"bootstrap_servers": kafka_bootstrap}


@pytest.mark.kafka
async def test_every_replica_takes_up_what_is_there_and_what_comes(topics, options):
    board = Board()
    await write_policy(topics.policy, options, applied("[rules.a]\nmaximum = 5\n"))
    replicas = [Replica(topics.policy, options["bootstrap_servers"]) for _ in range(2)]
    async with following(*replicas):
        for replica in replicas:
            async with asyncio.timeout(PATIENCE):
                await replica.follower.current()
            assert replica.guard.ruling.policy.book.rules[0].maximum == 5
            assert replica.guard.may_call
        held = freeze()
        await write_policy(topics.policy, options, held)
        for replica in replicas:
            await replica.until(lambda replica=replica: replica.stops == ["freeze:everything"])
        board.freezes[held.key] = held
        await write_policy(topics.policy, options, after(board, freeze("open")))
        for replica in replicas:
            await replica.until(lambda replica=replica: not replica.stops)


@pytest.mark.kafka
async def test_a_read_that_the_client_library_cancels_ends_no_following(topics, options, monkeypatch):
    replica = Replica(topics.policy, options["bootstrap_servers"])
    async with following(replica), asyncio.timeout(PATIENCE):
        await replica.follower.current()
        getmany, cancelled = AIOKafkaConsumer.getmany, []

        async def cancelled_once(self, *wanted, **more):
            if not cancelled:
                cancelled.append(self)
                raise asyncio.CancelledError
            return await getmany(self, *wanted, **more)

        monkeypatch.setattr(AIOKafkaConsumer, "getmany", cancelled_once)
        await replica.until(lambda: cancelled)
        await write_policy(topics.policy, options, freeze())
        await replica.until(lambda: replica.stops == ["freeze:everything"])


@pytest.mark.kafka
async def test_what_is_no_record_is_told_and_what_held_stays(topics, options):
    replica = Replica(topics.policy, options["bootstrap_servers"])
    async with following(replica):
        await write_policy(topics.policy, options, freeze())
        await replica.until(lambda: replica.stops == ["freeze:everything"])
        async with AIOKafkaProducer(**options) as producer:
            for value in (b"garbage", None, b"{}"):
                await producer.send_and_wait(topics.policy, value, key=b"freeze:everything", partition=0)
        await replica.until(lambda: replica.told.told.count("refused freeze:everything") == 3)
        assert replica.stops == ["freeze:everything"]


@pytest.mark.kafka
async def test_a_topic_that_is_not_there_lets_no_call_begin_and_is_not_made_by_the_looking(topics, options):
    missing = f"{topics.policy}-missing"
    replica = Replica(missing, options["bootstrap_servers"])
    async with following(replica):
        await replica.until(lambda: "is not there" in replica.follower.trouble)
        assert not replica.guard.may_call
        with pytest.raises(KafkaError, match="topics create"):
            await read_policy(missing, options, NO_OPERATORS)
        admin = AIOKafkaAdminClient(**options)
        await admin.start()
        assert missing not in await admin.list_topics()
        await admin.create_topics([NewTopic(missing, 1, 1)])
        await admin.close()
        await replica.until(lambda: replica.guard.may_call)


@pytest.mark.kafka
async def test_a_topic_that_goes_away_is_said_gone_on_without_and_then_everything_is_frozen(topics, options):
    replica = Replica(topics.policy, options["bootstrap_servers"], freeze_after=0.0)
    async with following(replica):
        await replica.until(lambda: replica.guard.may_call)
        admin = AIOKafkaAdminClient(**options)
        await admin.start()
        await admin.delete_topics([topics.policy])
        await replica.until(lambda: "blind" in replica.told.told)
        assert replica.told.told == ["lost", "blind"]
        assert replica.stops == ["freeze:policy-unreadable"]
        await admin.create_topics([NewTopic(topics.policy, 1, 1)])
        await admin.close()
        await replica.until(lambda: "found" in replica.told.told)
        assert replica.stops == []


@pytest.mark.kafka
async def test_what_was_frozen_stays_so_where_the_topic_is_made_anew(topics, options):
    replica = Replica(topics.policy, options["bootstrap_servers"])
    async with following(replica):
        await write_policy(topics.policy, options, freeze())
        await write_policy(topics.policy, options, freeze(reason="again"))
        await replica.until(lambda: bool(replica.stops))
        admin = AIOKafkaAdminClient(**options)
        await admin.start()
        await admin.delete_topics([topics.policy])
        await replica.until(lambda: "lost" in replica.told.told)
        await admin.create_topics([NewTopic(topics.policy, 1, 1)])
        await admin.close()
        await replica.until(lambda: "found" in replica.told.told)
        assert replica.stops == ["freeze:everything"]
