"""The client over a real broker: commands out, answers back, and a cache that is ready by position."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection, CloseReason

from deploy.kafka.broker import Cluster
from gateway.client import LaneKey, MissingTopicError, Stale, VenueRejected, connect
from gateway.client.reading import open_reader
from gateway.clock import SystemClock
from gateway.kafka.topics import create_topics
from gateway.settings.tree import KafkaSettings, Settings
from schemas import BinanceUsdm, Timestamp
from schemas.topics import Topics
from tests.client.echo import echoing
from tests.edge.rig import edge_of, settings_of

pytestmark = pytest.mark.kafka
BTC = BinanceUsdm(symbol="BTCUSDT")
KEY = LaneKey("binance_usdm", "desk-1", "BTCUSDT")
NODE = 0


async def until(is_so):
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 - a real broker's time is nobody's event
            await asyncio.sleep(0.02)


async def test_commands_return_their_events_and_a_cache_follows_them(kafka_bootstrap, topics):
    async with echoing(kafka_bootstrap, topics) as client:
        first = await client.set_leverage(BTC, 20, account="desk-1", issuer="test", timeout=30)
        assert (first.leverage, first.issuer) == (20, "test")
        with pytest.raises(VenueRejected):
            await client.set_leverage(BTC, 500, account="desk-1", timeout=30)
        cache = await client.cache()
        await cache.at_least(first, 30)
        assert cache[KEY].event.leverage == 20
        answers = await asyncio.gather(
            *(client.set_leverage(BTC, 5, account=f"desk-{number}", timeout=30) for number in range(50))
        )
        for answer in answers:
            await cache.at_least(answer, 30)
        assert len(cache) == 50
        assert all(state.event.leverage == 5 for state in cache.values())
        assert cache.state == "ready"


async def test_a_cache_is_ready_where_the_state_ends_in_markers_and_aborted_records(kafka_bootstrap, topics):
    async with echoing(kafka_bootstrap, topics) as client:
        await client.set_leverage(BTC, 20, account="desk-1", timeout=30)
        aborted = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=f"aborts-{uuid4().hex}")
        await aborted.start()
        await aborted.begin_transaction()
        for partition in range(4):
            await aborted.send_and_wait(topics.state, b"never committed", key=b"k", partition=partition)
        await aborted.abort_transaction()
        await aborted.stop()
        cache = await client.cache()
        await cache.ready(30)
        assert {key: state.event.leverage for key, state in cache.items()} == {KEY: 20}


async def test_a_client_closes_soon_though_its_connections_wait_for_the_brokers_goodbye(
    kafka_bootstrap, topics, monkeypatch
):
    close, waiting = AIOKafkaConnection.close, []

    def close_in_vain(connection, reason=None, exc=None):
        if reason == CloseReason.SHUTDOWN and connection._writer is not None:
            waiting.append(connection._writer)
            connection._writer = SimpleNamespace(close=lambda: None, transport=waiting[-1].transport)
        return close(connection, reason, exc)

    async with echoing(kafka_bootstrap, topics) as client:
        await client.set_leverage(BTC, 20, account="desk-1", timeout=30)
        await (await client.cache()).ready(30)
        with monkeypatch.context() as patched:
            async with open_reader({"bootstrap_servers": kafka_bootstrap}) as reader:
                assert await reader.ranges(topics.events)
                patched.setattr(AIOKafkaConnection, "close", close_in_vain)
            await client.close()
    assert all(writer.transport.is_closing() for writer in waiting), "they are cut, not left behind"
    assert len(waiting) >= 4


async def test_all_events_are_told_from_the_beginning_in_order(kafka_bootstrap, topics):
    async with echoing(kafka_bootstrap, topics) as client:
        for leverage in (5, 10, 20):
            await client.set_leverage(BTC, leverage, account="desk-1", timeout=30)
        events = client.events(from_beginning=True)
        async with asyncio.timeout(30):
            assert [(await anext(events)).leverage for _ in range(3)] == [5, 10, 20]
        await events.aclose()


async def test_a_topic_that_is_not_there_is_said_at_once(kafka_bootstrap):
    with pytest.raises(MissingTopicError, match="no topic never-made"):
        async with connect(f"kafka://{kafka_bootstrap}", topics=Topics(events="never-made")):
            pass


@asynccontextmanager
async def over_edge(bootstrap, topics, folder):
    async with edge_of(settings_of(bootstrap, topics, folder, heartbeat=3600.0), folder) as edge:
        url = edge.server.url.replace("http", "ws") + "/v1/stream"
        async with connect(url, token="desk-token") as client:
            yield client


@pytest.mark.parametrize("over", ["kafka", "edge"])
async def test_a_cache_says_that_it_is_stale_while_the_broker_is_away_and_goes_on_after_it(over, tmp_path):
    with Cluster() as cluster:
        topics = Topics()
        kafka = KafkaSettings(bootstrap_servers=cluster.bootstrap_servers, topics=topics, partitions=2)
        await create_topics(Settings(kafka=kafka), base_dir=Path())
        async with (
            echoing(cluster.bootstrap_servers, topics) as over_kafka,
            over_edge(cluster.bootstrap_servers, topics, tmp_path) as through_edge,
        ):
            client = over_kafka if over == "kafka" else through_edge
            event = await client.set_leverage(BTC, 20, account="desk-1", timeout=30)
            cache = await client.cache()
            await cache.at_least(event, 30)
            cluster.suspend(NODE)
            gone_at = Timestamp.from_epoch(SystemClock.wall())
            await until(lambda: cache.state == "stale")
            as_of = cache.as_of
            assert as_of is not None
            assert as_of <= gone_at, "so it was stale a second after that at the latest"
            with pytest.raises(Stale):
                cache.get(KEY, max_age=0.3)
            assert cache.get(KEY).event.leverage == 20
            cluster.resume(NODE)
            await until(lambda: cache.state == "ready")
            event = await client.set_leverage(BTC, 21, account="desk-1", timeout=30)
            await cache.at_least(event, 30)
            assert cache[KEY].event.leverage == 21
