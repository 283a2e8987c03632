"""What is redis-server's own: the loss of a part of its memory, its death, its hanging. The rest is in `store_contract`."""

import asyncio
from collections import deque

from redis.asyncio import Redis

from gateway.clock import SystemClock
from gateway.limits.limit import Cost, Limit, LimitPolicy
from gateway.limits.permits import Permits
from gateway.limits.redis_store import RedisStore
from gateway.limits.shared import DEADLINE, LEASE, SharedBuckets
from tests.limits.redis_server import RedisServer
from tests.limits.scripted_store import Said
from tests.limits.store_contract import ask, opened, said
from tests.limits.waiting import acquire


async def test_a_state_that_was_evicted_alone_gives_no_token_back_twice(server: RedisServer, store: RedisStore):
    keys = await opened(store, "x")
    await store.exchange(keys, ask(said(ended=10, window_ms=100), count=0))
    async with Redis.from_url(server.url) as redis:  # pyright: ignore[reportUnknownMemberType]
        await redis.delete(f"{keys[0]}:state")
    await store.exchange(keys, ask(said(window_ms=100), count=0))
    await asyncio.sleep(0.12)
    assert (await store.exchange(keys, ask(said(weight=1), count=20))).granted == 10


class SlidingVenue:
    """A venue that counts in every window of its length."""

    def __init__(self, capacity: int, window: float) -> None:
        self.capacity = capacity
        self.window = window
        self.over = 0
        self.total = 0
        self._calls: deque[float] = deque()

    def count(self) -> None:
        now = asyncio.get_running_loop().time()
        self._calls.append(now)
        self.total += 1
        while self._calls[0] <= now - self.window:
            self._calls.popleft()
        self.over += len(self._calls) > self.capacity


class Replica:
    """One gateway's permits, and callers that always want one more."""

    def __init__(self, name: str, url: str, limit: Limit, venue: SlidingVenue) -> None:
        self.store = RedisStore(url)
        self.said = Said()
        self.shared = SharedBuckets(self.store, replica=name, share=0.25, clock=SystemClock(), observer=self.said)
        self.permits = Permits(SystemClock(), self.shared)
        self.permits.register("ztdx", [limit], {limit.name: LimitPolicy(is_shared=True)}, call_timeout=0.2)
        self.calls = 0
        self._costs = [Cost(limit.name, 1)]
        self._venue = venue
        self._tasks = [asyncio.create_task(self.shared.run()), *(asyncio.create_task(self._call()) for _ in range(10))]

    async def _call(self) -> None:
        while True:
            permit = await acquire(self.permits, "ztdx", "", self._costs)
            await asyncio.sleep(0.001)
            self._venue.count()
            self.calls += 1
            permit.spent()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.store.close()


async def used(venue: SlidingVenue, windows: int) -> float:
    before = venue.total
    await asyncio.sleep(windows * venue.window)
    return (venue.total - before) / (windows * venue.capacity)


async def reaches(venue: SlidingVenue, share: float, windows: int) -> bool:
    """Whether so much of the budget is used in one of some spans: a machine that is busy elsewhere misses windows."""
    for _ in range(8):
        if await used(venue, windows) >= share:
            return True
    return False


async def test_two_replicas_use_one_budget_through_the_death_and_return_and_hanging_of_the_server(server: RedisServer):
    venue = SlidingVenue(20, 0.5)
    limit = Limit(name="ip_calls", scope="ip", capacity=venue.capacity, window=venue.window)
    replicas = [Replica(name, server.url, limit, venue) for name in ("one", "two")]
    await asyncio.sleep(2.0)
    assert await reaches(venue, 0.95, 6)
    assert min(replica.calls for replica in replicas) > 0

    await server.kill()
    await asyncio.sleep(LEASE + DEADLINE + 1.0)
    assert await used(venue, 4) <= 0.6  # two shares of a quarter
    assert await reaches(venue, 0.3, 4)

    await server.start()
    await asyncio.sleep(2.0)
    assert await reaches(venue, 0.95, 6)

    server.hang()
    await asyncio.sleep(LEASE + 2 * DEADLINE + 1.0)
    assert await used(venue, 4) <= 0.6  # nothing is granted while it is asked
    assert await reaches(venue, 0.2, 4)
    server.wake()
    await asyncio.sleep(2.0)
    assert await reaches(venue, 0.95, 6)
    for replica in replicas:
        await replica.stop()
        lost, found, hung, woken = replica.said.lines
        assert lost.startswith("lost: the store of shared limits: ")
        assert hung.startswith("lost: ")
        assert found == woken == "found"
    assert venue.over == 0


async def test_a_store_that_was_never_reached_is_said_once_and_why(server: RedisServer):
    await server.kill()
    limit = Limit(name="ip_calls", scope="ip", capacity=20, window=0.5)
    replica = Replica("one", server.url, limit, SlidingVenue(20, 0.5))
    await replica.said.told.wait()
    assert [scope.mode for scope in replica.permits.snapshot()] == ["fallback"]
    await replica.stop()
    assert replica.said.lines == ["lost: the store of shared limits: ConnectionError"]
