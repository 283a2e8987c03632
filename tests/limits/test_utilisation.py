"""Ten times more calls than the budget allows, for ten minutes: never one over, and at least 98 % used once warm."""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from gateway.limits.limit import Cost, Limit, Usage
from gateway.limits.permits import Permits
from tests.kit.jumping import JumpingLoop, clock, jumping
from tests.limits.strict_venue import StrictVenue, latency
from tests.limits.waiting import acquire

MINUTES = 10
HEADER = "X-MBX-USED-WEIGHT-1M"
LIMITS = [
    pytest.param(Limit(name="ip_calls", scope="ip", capacity=1, window=60.0), 1, id="binance_margin calls"),
    pytest.param(Limit(name="uid_weight", scope="account", capacity=180_000, window=60.0, usage_header="X-SAPI"), 3000, id="binance_margin weight"),
    pytest.param(Limit(name="ip_weight", scope="ip", capacity=2400, window=60.0, usage_header=HEADER), 1, id="binance_usdm"),
    pytest.param(Limit(name="ip_weight", scope="ip", capacity=6000, window=60.0, usage_header=HEADER), 1, id="binance_portfolio"),
    pytest.param(Limit(name="uid_calls", scope="account", capacity=20, window=2.0), 1, id="okx"),
    pytest.param(Limit(name="ip_calls", scope="ip", capacity=600, window=60.0), 1, id="ztdx"),
]  # fmt: skip


class Crowd:
    """Callers that always want one more call, as many as may be in flight."""

    def __init__(self, loop: JumpingLoop, limit: Limit, weight: int, seed: int) -> None:
        self.loop = loop
        self.limit = limit
        self.weight = weight
        self.ours = True
        self.random = Random(seed)
        self.venue = StrictVenue(loop, limit.capacity, limit.window)
        self.permits = Permits(loop)
        self.permits.register("binance_usdm", [limit], call_timeout=5.0)

    async def call(self) -> None:
        permit = await acquire(self.permits, "binance_usdm", "desk", [Cost(self.limit.name, self.weight)])
        await asyncio.sleep(latency(self.random))
        used = self.venue.count(self.weight, ours=self.ours)
        await asyncio.sleep(latency(self.random))
        if self.limit.usage_header is None:
            permit.spent()
        elif self.random.random() > 0.01:
            permit.spent([Usage(self.limit.name, used)], self.loop.wall())
        else:
            permit.spent()

    async def spend(self, seconds: float, callers: int) -> None:
        async def caller() -> None:
            while True:
                await self.call()

        tasks = [asyncio.create_task(caller()) for _ in range(callers)]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(("limit", "weight"), LIMITS)
@jumping
async def test_no_call_is_over_and_the_budget_is_used(limit: Limit, weight: int):
    loop = clock()
    crowd = Crowd(loop, limit, weight, seed=5)
    await asyncio.sleep(crowd.random.uniform(0, limit.window))
    await crowd.spend((MINUTES + 3) * 60, callers=128)
    assert crowd.venue.over == []
    windows = round(MINUTES * 60 / limit.window)
    assert crowd.venue.use(2, windows) >= 0.98


async def one_by_one(crowd: Crowd) -> None:
    """Single calls at random, 12 a second: nearly a third of the budget."""
    while True:
        await asyncio.sleep(crowd.random.expovariate(12))
        crowd.venue.count(1, ours=False)


async def nearly_half(crowd: Crowd) -> None:
    while True:
        await asyncio.sleep(crowd.random.expovariate(19))
        crowd.venue.count(1, ours=False)


async def heavy_calls(crowd: Crowd) -> None:
    while True:
        await asyncio.sleep(crowd.random.expovariate(0.5))
        crowd.venue.count(20, ours=False)


async def batches(crowd: Crowd) -> None:
    """200 calls in a row, three times a minute."""
    while True:
        await asyncio.sleep(20)
        for _ in range(200):
            crowd.venue.count(1, ours=False)
            await asyncio.sleep(0.001)


async def newcomer(crowd: Crowd) -> None:
    """Nobody else for a while, and then a tenth of the budget."""
    await asyncio.sleep(200)
    while True:
        await asyncio.sleep(crowd.random.expovariate(4))
        crowd.venue.count(1, ours=False)


async def another_gateway(crowd: Crowd) -> None:
    """One like us, as greedy as we are: neither knows of the other but by the headers."""
    twin = Crowd(crowd.loop, crowd.limit, crowd.weight, seed=7)
    twin.venue = crowd.venue
    twin.ours = False
    await twin.spend(100_000, callers=128)


@pytest.mark.parametrize("spend", [one_by_one, nearly_half, heavy_calls, batches, newcomer, another_gateway])
@jumping
async def test_a_second_spender_seen_only_through_headers_never_brings_a_call_over(
    spend: Callable[[Crowd], Coroutine[Any, Any, None]],
):
    loop = clock()
    limit = Limit(name="ip_weight", scope="ip", capacity=2400, window=60.0, usage_header=HEADER)
    crowd = Crowd(loop, limit, 1, seed=3)
    task = asyncio.create_task(spend(crowd))
    await asyncio.sleep(20)
    await crowd.spend((MINUTES + 3) * 60, callers=128)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert crowd.venue.over == []
    assert crowd.venue.use(2, MINUTES) >= 0.98
