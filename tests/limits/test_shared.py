"""Replicas that share a budget keep it whatever becomes of the store: the real script, on simulated time."""

import asyncio
from collections import defaultdict, deque
from contextlib import AsyncExitStack
from random import Random

import pytest

from gateway.limits.limit import Cost, Limit, LimitPolicy
from gateway.limits.permits import Permits
from gateway.limits.shared import LEASE, SharedBuckets
from tests.kit.jumping import JumpingLoop, clock, jumping
from tests.limits.scripted_store import Said, ScriptedServer, ScriptedStore
from tests.limits.waiting import acquire

CALL_TIMEOUT = 1.0


class SlidingVenue:
    """Counts in every window of its length, for the address and for each account."""

    def __init__(self, loop: JumpingLoop, capacity: int, window: float, *, by_address: bool) -> None:
        self.window = window
        self.limits = [Limit(name="uid_calls", scope="account", capacity=capacity, window=window)]
        if by_address:
            self.limits.append(Limit(name="ip_calls", scope="ip", capacity=capacity + 1, window=window))
        self.total = 0
        self.over: list[tuple[float, str, int]] = []
        self._loop = loop
        self._calls: defaultdict[str, deque[float]] = defaultdict(deque)

    def count(self, replica: str, account: str) -> None:
        now = self._loop.time()
        self.total += 1
        for limit in self.limits:
            calls = self._calls[account if limit.scope == "account" else ""]
            calls.append(now)
            while calls[0] <= now - self.window:
                calls.popleft()
            if len(calls) > limit.capacity:
                self.over.append((now, f"{replica} {account}", len(calls)))


class Replica:
    """One gateway's permits, and callers that want one more whenever their desk is busy.

    They call for one account after the other, the same as other replicas a little earlier or later.
    """

    def __init__(self, number: int, server: ScriptedServer, venue: SlidingVenue, share: float) -> None:
        self.name = f"replica-{number}"
        self.store = ScriptedStore(server)
        self.busy = asyncio.Event()
        self.calls = 0
        self.slowness = (0.05, 1.0)
        self._random = server.random
        self._venue = venue
        self._loop = server.loop
        self._ahead = 3.0 * number
        self._costs = [Cost(limit.name, 1) for limit in venue.limits]
        self._shared = SharedBuckets(self.store, replica=self.name, share=share, clock=server.loop, observer=Said())
        self.permits = Permits(server.loop, self._shared)
        overrides = {limit.name: LimitPolicy(is_shared=True) for limit in venue.limits}
        self.permits.register("ztdx", venue.limits, overrides, call_timeout=CALL_TIMEOUT)

    async def run(self, callers: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._shared.run())
            for _ in range(callers):
                tasks.create_task(self._call())

    async def _call(self) -> None:
        random = self._random
        while True:
            await self.busy.wait()
            account = "abc"[int((self._loop.time() + self._ahead) / 10) % 3]
            permit = await acquire(self.permits, "ztdx", account, self._costs)
            if random.random() < 0.05:
                permit.give_back()
                await asyncio.sleep(0.01)
                continue
            there, back = (random.expovariate(1 / random.choice(self.slowness)) for _ in range(2))
            there = min(there, CALL_TIMEOUT)
            await asyncio.sleep(there)
            self._venue.count(self.name, account)
            self.calls += 1
            await asyncio.sleep(min(back, CALL_TIMEOUT - there))
            permit.spent()


class World:
    """A venue, a server, some replicas, and what befalls them."""

    def __init__(self, loop: JumpingLoop, seed: int) -> None:
        self.random = Random(seed)
        self.server = ScriptedServer(loop, self.random)
        self.capacity, window = self.random.choice((5, 12, 30)), self.random.choice((0.5, 2.0, 10.0))
        self.venue = SlidingVenue(loop, self.capacity, window, by_address=self.random.random() < 0.5)
        shares = self.random.choice(((0.5, 0.5), (0.6, 0.4), (0.5, 0.3, 0.2)))
        self.replicas = [Replica(number, self.server, self.venue, share) for number, share in enumerate(shares)]

    async def suffer(self) -> None:
        """One fault after the other, healed by the end."""
        for _ in range(self.random.randrange(2, 6)):
            await asyncio.sleep(self.random.uniform(0, 3 * self.venue.window))
            replica, trouble = self.random.choice(self.replicas), self.random.uniform(0.1, 4 * LEASE)
            match self.random.choice(("kill", "hang", "unreachable", "slow", "idle", "busy")):
                case "kill":
                    self.server.kill()
                    await asyncio.sleep(trouble)
                    self.server.start()
                    # One whom it has not heard since has no share there, as the module says.
                    await asyncio.sleep(self.venue.window + CALL_TIMEOUT)
                case "hang":
                    self.server.hang()
                    await asyncio.sleep(trouble)
                    self.server.wake()
                case "unreachable":
                    await replica.store.lose(trouble, answers_only=self.random.random() < 0.5)
                case "slow":
                    self.server.latency = self.random.choice((0.05, 0.3))
                    await asyncio.sleep(trouble)
                    self.server.latency = 0.002
                case "idle":
                    replica.busy.clear()
                case _:
                    replica.busy.set()
        for replica in self.replicas:
            replica.busy.set()

    async def run(self) -> float:
        """The share used in the end."""
        async with AsyncExitStack() as stack:
            for replica in self.replicas:
                replica.busy.set()
                stack.push_async_callback(_ended, asyncio.create_task(replica.run(self.capacity)))
            await self.suffer()
            for replica in self.replicas:
                replica.slowness = (0.001,)
            await asyncio.sleep(2 * (self.venue.window + CALL_TIMEOUT + LEASE))
            before = self.venue.total
            await asyncio.sleep(8 * self.venue.window)
            return (self.venue.total - before) / (8 * self.capacity)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("seed", range(24))
@jumping
async def test_replicas_never_break_a_shared_budget_whatever_becomes_of_the_store(seed: int):
    loop = clock()
    world = World(loop, seed)
    used = await world.run()
    assert world.venue.over == []
    assert min(replica.calls for replica in world.replicas) > 0
    assert used >= 0.7
