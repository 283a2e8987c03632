"""Waiting for permits: woken by one timer, cancelled without loss, frozen before the next one goes."""

import asyncio

import pytest

from gateway.limits.limit import Cost, Limit, LimitPolicy, Usage
from gateway.limits.permits import Grant, LimitFrozenError, LimitLoweredError, Permits
from tests.kit.jumping import JumpingLoop, clock, jumping
from tests.limits.waiting import acquire

LIMITS = (
    Limit(name="address", scope="ip", capacity=3, window=10.0, usage_header="X-USED"),
    Limit(name="own", scope="account", capacity=2, window=4.0),
)
FRESH = {"own": LimitPolicy(assume_spent=False)}
OWN = (Cost("own", 1),)
ADDRESS = (Cost("address", 1),)


def permits_on(loop: JumpingLoop) -> Permits:
    permits = Permits(loop)
    permits.register("okx", LIMITS, FRESH, call_timeout=5.0)
    permits.register("ztdx", LIMITS, FRESH, call_timeout=5.0)
    return permits


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def asking(permits: Permits, account: str = "a", costs: tuple[Cost, ...] = OWN) -> asyncio.Task[Grant]:
    return asyncio.create_task(acquire(permits, "okx", account, costs))


def free(permits: Permits, limit: str) -> int:
    return next(scope.free for scope in permits.snapshot() if scope.limit == limit and scope.venue == "okx")


@jumping
async def test_a_permit_comes_back_a_window_after_its_call_and_wakes_the_next():
    loop = clock()
    permits = permits_on(loop)
    began = loop.now
    for _ in range(2):
        (await acquire(permits, "okx", "a", OWN)).spent()
    assert loop.now == began
    (await acquire(permits, "okx", "a", OWN)).spent()
    assert loop.now == pytest.approx(began + 4, abs=0.01)


@jumping
async def test_a_call_that_was_given_up_counts_from_when_it_can_have_arrived():
    loop = clock()
    permits = permits_on(loop)
    began = loop.now
    for _ in range(2):
        (await acquire(permits, "okx", "a", OWN)).given_up(5.0)
    (await acquire(permits, "okx", "a", OWN)).spent()
    assert loop.now == pytest.approx(began + 9, abs=0.01)


@jumping
async def test_the_end_of_a_call_sets_the_timer_for_those_who_waited_before():
    loop = clock()
    permits = permits_on(loop)
    holders = [await acquire(permits, "okx", "a", OWN) for _ in range(2)]
    waiter = asking(permits)
    await asyncio.sleep(3)
    holders[0].spent()
    await waiter
    assert loop.now == pytest.approx(500 + 3 + 4, abs=0.01)


@jumping
async def test_an_unused_permit_goes_to_the_next_at_once():
    loop = clock()
    permits = permits_on(loop)
    holders = [await acquire(permits, "okx", "a", OWN) for _ in range(2)]
    waiter = asking(permits)
    await turns()
    holders[0].give_back()
    holders[0].give_back()
    holders[0].spent()
    await turns()
    assert waiter.done()
    assert free(permits, "own") == 0


@jumping
async def test_who_gives_up_waiting_takes_nothing_and_holds_nobody_up():
    loop = clock()
    permits = permits_on(loop)
    holder = await acquire(permits, "okx", "a", (Cost("own", 1),))
    heavy, light = (
        asking(permits, costs=(Cost("own", 2),)),
        asking(permits, costs=(Cost("own", 1), Cost("address", 1))),
    )
    await turns()
    assert not light.done()
    heavy.cancel()
    await turns()
    assert light.done()
    holder.spent()
    light.result().spent()
    await asyncio.sleep(5)
    assert free(permits, "own") == 2


@jumping
async def test_who_is_cancelled_in_the_instant_of_the_grant_loses_no_permit():
    loop = clock()
    permits = permits_on(loop)
    holders = [await acquire(permits, "okx", "a", OWN) for _ in range(2)]
    first, second = asking(permits), asking(permits)
    await turns()
    holders[0].give_back()
    await asyncio.sleep(0)  # granted, but the waiter has not run yet
    first.cancel()
    await turns()
    assert first.cancelled()
    assert second.done()


@jumping
async def test_a_freeze_added_after_the_answer_still_comes_before_the_next_grant():
    loop = clock()
    permits = permits_on(loop)
    holder = await acquire(permits, "okx", "a", ADDRESS)
    waiter = asking(permits, costs=ADDRESS)
    await turns()
    holder.spent([Usage("address", 1)], loop.wall())
    permits.throttle("okx", "a", "address", loop.monotonic() + 1)
    await waiter
    assert loop.now == pytest.approx(501, abs=0.01)


@jumping
async def test_a_long_freeze_sends_those_in_line_for_its_scope_away_and_nobody_else():
    loop = clock()
    permits = permits_on(loop)
    for account in ("a", "b"):
        for _ in range(2):
            await acquire(permits, "okx", account, OWN)
    waiting, other = asking(permits), asking(permits, "b")
    await turns()
    permits.throttle("okx", "a", "own", loop.monotonic() + 600)
    await turns()
    assert isinstance(waiting.exception(), LimitFrozenError)
    assert not other.done()
    assert [scope.waiting for scope in permits.snapshot() if scope.account == "a"] == [0]
    other.cancel()
    await turns()


@jumping
async def test_a_freeze_pauses_the_scope_it_names_and_no_other():
    loop = clock()
    permits = permits_on(loop)
    permits.throttle("okx", "a", "own", loop.monotonic() + 30)
    frozen, other, elsewhere = asking(permits), asking(permits, "b"), asking(permits, costs=ADDRESS)
    await turns()
    assert other.done()
    assert elsewhere.done()
    assert permits.frozen_until("okx", "a", OWN) == loop.monotonic() + 30
    assert permits.frozen_until("okx", "b", OWN) <= loop.monotonic()
    await frozen
    assert loop.now == pytest.approx(530, abs=0.01)


@jumping
async def test_a_freeze_without_a_name_pauses_all_that_the_account_can_touch():
    loop = clock()
    permits = permits_on(loop)
    permits.throttle("okx", "a", None, loop.monotonic() + 30)
    other = asking(permits, "b")
    shared = asking(permits, "b", ADDRESS)
    await turns()
    assert other.done()
    assert not shared.done()
    shared.cancel()
    await turns()


@jumping
async def test_a_permit_knows_that_a_freeze_came_after_it():
    loop = clock()
    permits = permits_on(loop)
    permit = await acquire(permits, "okx", "a", OWN)
    assert not permit.is_frozen()
    permits.throttle("okx", "a", None, loop.monotonic() + 30)
    assert permit.is_frozen()
    permit.give_back()
    assert not permit.is_frozen()


@jumping
async def test_the_usage_header_lets_the_rest_go_at_once():
    loop = clock()
    permits = permits_on(loop)
    first = await acquire(permits, "okx", "a", ADDRESS)
    waiters = [asking(permits, costs=ADDRESS) for _ in range(2)]
    await asyncio.sleep(1)
    assert not any(waiter.done() for waiter in waiters)
    first.spent([Usage("address", 1)], loop.wall())
    await turns()
    assert waiters[0].done()


@jumping
async def test_venues_share_nothing():
    loop = clock()
    permits = permits_on(loop)
    permits.throttle("okx", "a", None, loop.monotonic() + 1000)
    stuck = asking(permits)
    await acquire(permits, "ztdx", "a", OWN)
    assert loop.now == 500
    stuck.cancel()
    await turns()


@jumping
async def test_a_raised_limit_serves_those_in_line_and_a_lowered_one_refuses_the_impossible():
    loop = clock()
    permits = permits_on(loop)
    holder = await acquire(permits, "okx", "a", (Cost("own", 2),))
    heavy, light = asking(permits, costs=(Cost("own", 2),)), asking(permits)
    await turns()
    permits.resize("okx", "own", 1)
    with pytest.raises(LimitLoweredError, match="own of okx holds only 1 now"):
        await heavy
    permits.resize("okx", "own", 3)
    await turns()
    assert light.done()
    holder.spent()


@jumping
async def test_an_account_taken_over_waits_one_window():
    loop = clock()
    permits = permits_on(loop)
    permits.assume_spent("okx", "a")
    await acquire(permits, "okx", "b", OWN)
    assert loop.now == 500
    assert permits.estimate("okx", "a", OWN) == pytest.approx(4, abs=0.01)
    await acquire(permits, "okx", "a", OWN)
    assert loop.now == pytest.approx(504, abs=0.01)


@jumping
async def test_the_snapshot_tells_the_metrics_what_is_used_free_and_waited_for():
    loop = clock()
    permits = permits_on(loop)
    await acquire(permits, "okx", "a", OWN)
    waiter = asking(permits, costs=(Cost("own", 2),))
    await turns()
    own = next(scope for scope in permits.snapshot() if scope.limit == "own")
    assert (own.venue, own.account, own.capacity, own.used, own.free, own.waiting) == ("okx", "a", 2, 1, 1, 1)
    waiter.cancel()
    await turns()


@jumping
async def test_one_timer_runs_however_many_wait():
    loop = clock()
    permits = permits_on(loop)
    for account in "abcdefgh":
        for _ in range(2):
            (await acquire(permits, "okx", account, OWN)).spent()
        await asyncio.sleep(0.1)
    waiters = [asking(permits, account) for account in "abcdefgh" for _ in range(3)]
    await turns()
    assert sum(not timer.cancelled() for timer in loop._scheduled) == 1  # pyright: ignore[reportAttributeAccessIssue]
    for waiter in waiters:
        waiter.cancel()
    await turns()


@pytest.mark.parametrize(("policy", "waits"), [(None, 0.0), (True, 4.0)], ids=["not said", "said to be spent"])
@jumping
async def test_a_start_that_is_known_to_be_the_first_waits_for_nothing_but_what_it_was_told_to(
    policy: bool | None, waits: float
):
    loop = clock()
    permits = Permits(loop)
    permits.register("okx", LIMITS, {"own": LimitPolicy(assume_spent=policy)}, call_timeout=5.0)
    began = loop.now
    permits.estimate("okx", "early", OWN)  # whose bucket is there before it is known
    permits.assume_nothing()
    for account in ("early", "late"):
        await acquire(permits, "okx", account, OWN)
    assert loop.now - began == pytest.approx(waits, abs=0.01)


@jumping
async def test_a_start_of_which_nothing_is_known_waits_a_window_where_no_answer_tells():
    loop = clock()
    permits = Permits(loop)
    permits.register("okx", LIMITS, {}, call_timeout=5.0)
    began = loop.now
    await acquire(permits, "okx", "a", OWN)
    assert loop.now - began == pytest.approx(4.0, abs=0.01)
