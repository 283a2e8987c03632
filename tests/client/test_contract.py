"""One interface, whatever is behind it: every transport keeps these rules."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway.client import (
    Closed,
    LaneKey,
    NotReady,
    RateLimited,
    Stale,
    Superseded,
    VenueRejected,
)
from gateway.client.testing import FakeGateway
from schemas import BinanceUsdm, LeverageChanged, Timestamp
from tests.client.edge_on_paper import EdgeOnPaper

BTC = BinanceUsdm(symbol="BTCUSDT")
KEY = LaneKey("binance_usdm", "desk-1", "BTCUSDT")


async def until(is_so):
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0)


@pytest.fixture(params=["in process", "over an edge"])
async def fake(request, tmp_path):
    if request.param == "in process":
        yield FakeGateway()
        return
    edge = EdgeOnPaper(FakeGateway(), tmp_path)
    await edge.server.start()
    yield edge
    await edge.stop()


@asynccontextmanager
async def caching(fake, **options):
    async with fake.client() as client:
        cache = await client.cache(**options)
        await cache.ready(5)
        yield client, cache


async def test_a_command_that_is_carried_out_returns_its_event(fake):
    async with fake.client() as client:
        event = await client.set_leverage(BTC, 20, account="desk-1", issuer="test", timeout=5)
    assert isinstance(event, LeverageChanged)
    assert (event.leverage, event.issuer) == (20, "test")


async def test_a_rejection_is_raised_by_its_reason_with_the_event(fake):
    async with fake.client() as client:
        fake.reject("venue_rejected", "Leverage 500 is not valid")
        with pytest.raises(VenueRejected, match="not valid") as rejected:
            await client.set_leverage(BTC, 500, account="desk-1", timeout=5)
        assert rejected.value.lane == KEY
        until = Timestamp.parse("2026-11-26T12:00:00Z")
        fake.reject("rate_limited", retry_at=until)
        with pytest.raises(RateLimited) as limited:
            await client.set_leverage(BTC, 5, account="desk-1", timeout=5)
        assert limited.value.retry_at == until


async def test_no_answer_in_time_is_a_timeout_and_the_command_stays_with_the_gateway(fake):
    fake.hold()
    async with fake.client() as client:
        with pytest.raises(TimeoutError):
            await client.set_leverage(BTC, 20, account="desk-1", timeout=1.0)
        assert [command.leverage for command in fake.commands] == [20]


async def test_an_older_command_of_a_lane_is_superseded_by_a_newer_one(fake):
    fake.hold()
    async with fake.client() as client, asyncio.TaskGroup() as tasks:
        older = tasks.create_task(failing(client.set_leverage(BTC, 20, account="desk-1", timeout=5)))
        newer = tasks.create_task(client.set_leverage(BTC, 30, account="desk-1", timeout=5))
        await until(lambda: len(fake.commands) == 2)
        await fake.release()
    assert isinstance(older.result(), Superseded)
    assert older.result().event.superseded_by == newer.result().command_id


async def failing(awaitable):
    try:
        await awaitable
    except Exception as error:  # noqa: BLE001
        return error


@pytest.mark.parametrize("leverage", ["NaN", "Infinity"])
async def test_what_would_be_no_command_is_refused_before_it_is_sent(fake, leverage):
    async with fake.client() as client:
        with pytest.raises(ValueError, match="decimal"):
            await client.set_leverage(BTC, leverage, account="desk-1")
        with pytest.raises(ValueError, match="account"):
            await client.set_leverage(BTC, 20, account="no such: account")
    assert fake.commands == []


async def test_reading_a_cache_before_it_is_ready_is_an_error_and_not_none(fake):
    async with fake.client() as client:
        cache = await client.cache()
        assert cache.state == "loading"
        with pytest.raises(NotReady):
            cache.get(KEY)
        await cache.ready(5)
        assert cache.state == "ready"
        assert cache.get(KEY) is None


async def test_a_cache_has_what_was_set_before_it_and_follows_what_comes(fake):
    async with fake.client() as client:
        await client.set_leverage(BTC, 20, account="desk-1", timeout=5)
        cache = await client.cache()
        await cache.ready(5)
        assert cache[KEY].event.leverage == 20
        event = await client.set_leverage(BTC, 21, account="desk-1", timeout=5)
        await cache.at_least(event, 5)
        assert cache[KEY].event.leverage == 21
        assert list(cache) == [KEY]


async def test_read_your_writes_holds_for_events_of_before_the_cache_and_for_rejections(fake):
    async with fake.client() as client:
        before = await client.set_leverage(BTC, 20, account="desk-1", timeout=5)
        cache = await client.cache()
        await cache.at_least(before, 5)
        fake.reject("venue_rejected")
        with pytest.raises(VenueRejected) as rejected:
            await client.set_leverage(BTC, 500, account="desk-1", timeout=5)
        await cache.at_least(rejected.value.event, 5)
        assert cache[KEY].event.leverage == 20


async def test_what_may_be_old_is_not_served_to_who_asks_for_fresh(fake):
    async with caching(fake) as (client, cache):
        await client.set_leverage(BTC, 20, account="desk-1", timeout=5)
        await cache.wait_until(KEY, lambda state: state is not None, 5)
        assert cache.get(KEY, max_age=60).event.leverage == 20
        await fake.lose("the broker is away")
        await until(lambda: cache.state == "stale")
        assert cache.stale_because in {"the broker is away", "the edge is 60.0 s behind the log"}
        assert cache.get(KEY).event.leverage == 20
        with pytest.raises(Stale):
            cache.get(KEY, max_age=0.0)
        await fake.recover()
        await until(lambda: cache.state == "ready")


async def test_changes_tell_old_and_new_and_a_slow_reader_gets_the_newest_of_each_lane(fake):
    async with caching(fake) as (client, cache):
        changes = cache.changes()
        first = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        event = await client.set_leverage(BTC, 20, account="desk-1", timeout=5)
        change = await first
        assert (change.key, change.old, change.new.event) == (KEY, None, event)
        for leverage in (21, 22, 23):
            event = await client.set_leverage(BTC, leverage, account="desk-1", timeout=5)
        await cache.at_least(event, 5)
        change = await anext(changes)
        assert (change.old.event.leverage, change.new.event.leverage) == (20, 23)


async def test_a_cache_of_some_accounts_holds_no_others(fake):
    async with caching(fake, accounts=["desk-1"]) as (client, cache):
        await client.set_leverage(BTC, 20, account="desk-2", timeout=5)
        event = await client.set_leverage(BTC, 20, account="desk-1", timeout=5)
        await cache.at_least(event, 5)
        assert list(cache) == [KEY]


async def test_who_waits_for_a_cache_that_is_closed_is_told(fake):
    async with fake.client() as client:
        cache = await client.cache()
        await cache.ready(5)
        waiting = asyncio.ensure_future(cache.wait_until(KEY, lambda state: state is not None, 5))
        await asyncio.sleep(0)
        await cache.close()
        with pytest.raises(Closed):
            await waiting
        assert cache.state == "closed"


async def test_events_are_told_from_the_beginning_or_from_now_on(fake):
    async with fake.client() as client:
        for leverage in (20, 21):
            await client.set_leverage(BTC, leverage, account="desk-1", timeout=5)
        told = client.events(from_beginning=True)
        assert [(await anext(told)).leverage for _ in range(2)] == [20, 21]
        await told.aclose()
