"""How old a cache over an edge is: asked by pings, whatever heartbeats come, and whoever is gone."""

import asyncio
import struct

import msgspec
import pytest
import websockets

from gateway.client import Stale, connect
from gateway.client.edge_feed import EdgeFeed, Pong, ReadHeartbeat, ReadHello, ReadLive
from gateway.client.feed import Current, Lost
from gateway.client.testing import FakeGateway
from tests.client.cutting import wire_to
from tests.client.edge_on_paper import EdgeOnPaper
from tests.client.test_contract import BTC, KEY, until
from tests.kit.clocks import FakeClock

HOUR = 3600.0


@pytest.fixture
async def edge(tmp_path):
    edge = EdgeOnPaper(FakeGateway(), tmp_path, heartbeat=HOUR)
    await edge.server.start()
    yield edge
    await edge.stop()


async def test_a_cache_is_stale_when_the_network_is_gone_though_nothing_says_so(edge):
    async with (
        wire_to(edge.server.url) as wire,
        connect(f"ws://127.0.0.1:{wire.port}/v1/stream", token="a-token") as client,
    ):
        cache = await client.cache()
        await cache.ready(5)
        assert cache.state == "ready"
        wire.stop()
        await until(lambda: cache.state == "stale")
        assert cache.stale_because is None, "it is by its age, not by an end of the connection"
        with pytest.raises(Stale):
            cache.get(KEY, max_age=1.0)
        wire.go_on()
        await until(lambda: cache.state == "ready")


async def test_a_cache_stays_ready_between_two_heartbeats_that_are_far_apart(edge):
    async with edge.client() as client:
        cache = await client.cache()
        await cache.ready(5)
        first = cache.as_of
        await until(lambda: cache.as_of > first and cache.state == "ready")
        event = await client.set_leverage(BTC, 20, account="desk-1", timeout=5)
        await cache.at_least(event, 5)


async def test_every_stream_is_told_at_once_that_the_edge_is_behind_and_that_it_is_no_more(edge):
    headers = {"Authorization": "Bearer a-token"}
    url = edge.server.url.replace("http", "ws") + "/v1/stream"
    async with websockets.connect(url, additional_headers=headers) as stream, asyncio.timeout(10):
        await edge.fake.lose()
        assert await _lag(stream) == 60_000
        await edge.fake.recover()
        assert await _lag(stream) == 0


async def _lag(stream):
    while (frame := msgspec.json.decode(await stream.recv()))["type"] != "heartbeat":
        pass
    return frame["lag_ms"]


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def feed(clock):
    feed = EdgeFeed(None, with_state=True, monotonic=clock.monotonic)
    feed.take(ReadHello())
    return feed


def test_what_came_is_as_old_as_the_ping_whose_pong_it_is_and_the_lag_before_it(feed, clock):
    feed.take(ReadLive(position="p"))
    ping = feed.ping()
    feed.take(ReadHeartbeat(lag_ms=300, position="p"))
    clock.advance(10.0)  # on its way
    assert feed.take(Pong(ping)) == [Current(pytest.approx(10.3))]
    assert feed.take(Pong(ping)) == [], "a pong without a heartbeat says nothing of the log"


@pytest.mark.parametrize("data", [b"", b"x", struct.pack("!d", 0.0) + b"x"])
def test_a_pong_to_nobodys_ping_says_nothing(feed, data):
    feed.take(ReadLive(position="p"))
    feed.take(ReadHeartbeat(lag_ms=0, position="p"))
    assert feed.take(Pong(data)) == []


def test_who_comes_back_is_not_current_before_it_was_told_what_it_missed(feed):
    feed.take(ReadLive(position="p"))
    feed.take(ReadHello())
    ping = feed.ping()
    feed.take(ReadHeartbeat(lag_ms=0, position="p"))
    assert feed.take(Pong(ping)) == []
    feed.take(ReadLive(position="q"))
    ping = feed.ping()
    feed.take(ReadHeartbeat(lag_ms=0, position="q"))
    assert feed.take(Pong(ping)) == [Current(pytest.approx(0.0))]


def test_an_edge_that_is_behind_the_log_is_no_source(feed):
    feed.take(ReadLive(position="p"))
    assert feed.take(ReadHeartbeat(lag_ms=2_000, position="p")) == [Lost("the edge is 2.0 s behind the log")]
