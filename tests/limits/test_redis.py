"""Buckets shared through a real redis-server: by weight, all or nothing, through its death and its loss of memory."""

import asyncio
import shutil
import signal
import socket
from collections import deque
from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from gateway.clock import SystemClock
from gateway.limits.limit import Cost, Limit, LimitPolicy
from gateway.limits.permits import Permits
from gateway.limits.redis_store import RedisStore
from gateway.limits.shared import DEADLINE, LEASE, Exchange, ScopeReport, SharedBuckets, StoreGoneError
from tests.limits.scripted_store import Said
from tests.limits.waiting import acquire

SERVER = shutil.which("redis-server") or shutil.which("valkey-server")
pytestmark = pytest.mark.skipif(SERVER is None, reason="neither redis-server nor valkey-server is installed")


class Server:
    """A redis-server of our own on a loopback port, without persistence."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        assert SERVER is not None
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = await asyncio.create_subprocess_exec(
            SERVER, *arguments, "--dir", str(self._directory), stdout=asyncio.subprocess.DEVNULL
        )
        for _ in range(1000):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                await writer.wait_closed()
                return

    def hang(self) -> None:
        """It accepts everything and answers nothing, until `wake`; then it does all that it accepted."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        if self._process:
            self._process.kill()
            await self._process.wait()
            self._process = None


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[Server]:
    server = Server(tmp_path)
    await server.start()
    yield server
    await server.kill()


@pytest.fixture
async def store(server: Server) -> AsyncGenerator[RedisStore]:
    store = RedisStore(server.url)
    yield store
    await store.close()


def said(
    *,
    weight: int = 0,
    held: int = 0,
    ended: int = 0,
    freeze_ms: int = 0,
    capacity: int = 10,
    window_ms: int = 60_000,
    alone: bool = False,
    fresh: bool = False,
) -> ScopeReport:
    return ScopeReport(
        alone=alone,
        fresh=fresh,
        capacity=capacity,
        window_ms=window_ms,
        held=held,
        ended=ended,
        freeze_ms=freeze_ms,
        weight=weight,
    )


def ask(
    *scopes: ScopeReport,
    replica: str = "a",
    count: int = 1,
    share: float = 0.25,
    leaving: bool = False,
    lease_ms: int = 5000,
    said_at_ms: int = 0,
) -> Exchange:
    return Exchange(
        replica=replica,
        share=share,
        lease_ms=lease_ms,
        forget_ms=600_000,
        timeout_ms=0,
        said_at_ms=said_at_ms,
        patience_ms=500,
        count=count,
        leaving=leaving,
        scopes=scopes,
    )


async def opened(store: RedisStore, *names: str) -> list[str]:
    """Buckets that this server has known for longer than a window."""
    keys = [f"{{test}}:{name}:{uuid4()}" for name in names]
    await store.exchange(keys, ask(*(said(window_ms=1) for _ in names), count=0, leaving=True))
    await asyncio.sleep(0.01)
    return keys


async def test_a_bucket_unknown_to_the_server_is_closed_for_a_window(store: RedisStore):
    reply = await store.exchange(["{test}:new"], ask(said(weight=1)))
    assert reply.granted == 0
    assert reply.scopes[0].closed_ms == 60_000
    assert reply.wait_ms == 60_000


async def test_replicas_together_are_granted_no_more_than_the_limit(store: RedisStore):
    keys = await opened(store, "x")
    first = await store.exchange(keys, ask(said(weight=2), count=4))
    second = await store.exchange(keys, ask(said(weight=2), count=4, replica="b"))
    assert (first.granted, second.granted) == (4, 1)
    third = await store.exchange(keys, ask(said(weight=1), count=1, replica="c"))
    assert third.granted == 0


async def test_several_scopes_are_all_or_nothing(store: RedisStore):
    keys = await opened(store, "x", "y")
    full = await store.exchange(keys, ask(said(weight=1), said(weight=4), count=5))
    assert full.granted == 2
    none = await store.exchange(keys, ask(said(weight=1, held=2), said(weight=4, held=8), count=5))
    assert none.granted == 0
    other = await store.exchange(keys, ask(said(weight=1), said(), count=20, replica="b"))
    assert other.granted == 8


async def test_what_has_ended_is_back_after_a_window_and_what_is_unused_at_once(store: RedisStore):
    keys = await opened(store, "x")
    assert (await store.exchange(keys, ask(said(weight=5), count=2))).granted == 2
    assert (await store.exchange(keys, ask(said(weight=1, held=0, ended=5, window_ms=200), count=10))).granted == 5
    reply = await store.exchange(keys, ask(said(weight=1, held=5), count=10))
    assert reply.granted == 0
    assert 0 < reply.wait_ms <= 200
    await asyncio.sleep(reply.wait_ms / 1000 + 0.01)
    assert (await store.exchange(keys, ask(said(weight=1, held=5), count=10))).granted == 5


async def test_what_a_silent_replica_held_comes_back_and_its_share_is_left_to_it(store: RedisStore):
    keys = await opened(store, "x")
    await store.exchange(keys, ask(said(weight=8), replica="dead"))
    assert (await store.exchange(keys, ask(said(weight=1, window_ms=1), count=10))).granted == 2
    await asyncio.sleep(0.02)
    await store.exchange(keys, ask(said(held=2, window_ms=1), count=0, lease_ms=10))
    await asyncio.sleep(0.02)
    reply = await store.exchange(keys, ask(said(weight=1, held=2), count=10, lease_ms=10))
    assert reply.granted == 10 - 2 - 3
    await store.exchange(keys, ask(said(), count=0, replica="dead"))
    assert (await store.exchange(keys, ask(said(weight=1, held=7), count=10, lease_ms=60_000))).granted == 3


async def test_to_a_replica_that_says_it_is_alone_its_share_is_left_until_it_says_otherwise(store: RedisStore):
    keys = await opened(store, "x")
    await store.exchange(keys, ask(said(alone=True), count=0, replica="alone"))
    assert (await store.exchange(keys, ask(said(weight=1), count=10))).granted == 10 - 3
    await store.exchange(keys, ask(said(), count=0, replica="alone"))
    assert (await store.exchange(keys, ask(said(weight=1, held=7), count=10))).granted == 3


async def test_what_is_heard_after_its_sender_gave_up_is_void(store: RedisStore):
    keys = await opened(store, "x")
    now_ms = int((await store.exchange(keys, ask(said(), count=0))).now_ms)
    late = await store.exchange(keys, ask(said(weight=1, ended=9), said_at_ms=now_ms - 10_000))
    assert late.void
    assert late.now_ms >= now_ms
    assert (await store.exchange(keys, ask(said(weight=1), count=20, said_at_ms=now_ms))).granted == 10


async def test_a_new_process_of_the_same_name_does_not_free_what_the_old_one_held(store: RedisStore):
    keys = await opened(store, "x")
    await store.exchange(keys, ask(said(weight=10)))
    assert (await store.exchange(keys, ask(said(weight=1, fresh=True)))).granted == 0


async def test_who_leaves_keeps_nothing_but_what_was_under_way(store: RedisStore):
    keys = await opened(store, "x")
    await store.exchange(keys, ask(said(weight=10)))
    await store.exchange(keys, ask(said(held=4), count=0, leaving=True))
    assert (await store.exchange(keys, ask(said(weight=1), count=10, replica="b"))).granted == 6


async def test_a_freeze_holds_for_every_replica(store: RedisStore):
    keys = await opened(store, "x")
    await store.exchange(keys, ask(said(freeze_ms=500), count=0))
    reply = await store.exchange(keys, ask(said(weight=1), replica="b"))
    assert reply.granted == 0
    assert 400 < reply.scopes[0].frozen_ms <= 500


async def test_a_heavy_call_claims_what_comes_back_and_is_not_starved_by_other_replicas(store: RedisStore):
    keys = await opened(store, "x")
    assert (await store.exchange(keys, ask(said(weight=1), count=5))).granted == 5
    assert (await store.exchange(keys, ask(said(weight=8), replica="heavy"))).granted == 0
    assert (await store.exchange(keys, ask(said(weight=1, held=5), count=5))).granted == 0
    assert (await store.exchange(keys, ask(said(weight=1, held=1), count=5))).granted == 1
    assert (await store.exchange(keys, ask(said(weight=8), replica="heavy"))).granted == 1


async def test_who_was_short_first_is_served_before_who_is_nearer(store: RedisStore):
    keys = await opened(store, "x")
    near, far = said(weight=1, held=10), said(weight=1)
    assert (await store.exchange(keys, ask(said(weight=1), count=10, replica="near"))).granted == 10
    assert (await store.exchange(keys, ask(near, replica="near"))).granted == 0
    assert (await store.exchange(keys, ask(far, replica="far"))).granted == 0
    assert (await store.exchange(keys, ask(said(weight=1, held=9), replica="near"))).granted == 1
    assert (await store.exchange(keys, ask(said(weight=1, held=9), replica="near"))).granted == 0
    assert (await store.exchange(keys, ask(far, replica="far"))).granted == 1


async def test_a_claim_lasts_until_its_owner_was_told_to_ask_again(store: RedisStore):
    keys = await opened(store, "x")
    spent = said(weight=1, ended=10, window_ms=100)
    await store.exchange(keys, ask(said(weight=1), count=10))
    await store.exchange(keys, ask(spent, count=0))
    heavy = await store.exchange(keys, ask(said(weight=8), replica="heavy", lease_ms=100))
    assert 0 < heavy.wait_ms <= 100
    await asyncio.sleep(heavy.wait_ms / 1000 + 0.01)
    assert (await store.exchange(keys, ask(said(weight=1), count=10))).granted == 2


async def test_a_call_too_heavy_beside_a_lost_replicas_share_claims_nothing(store: RedisStore):
    keys = await opened(store, "x")
    await store.exchange(keys, ask(said(alone=True), count=0, replica="lost"))
    heavy = await store.exchange(keys, ask(said(weight=8), replica="heavy"))
    assert (heavy.granted, heavy.wait_ms) == (0, 5000)
    assert (await store.exchange(keys, ask(said(weight=1), count=10))).granted == 10 - 3


async def test_to_a_lost_replica_its_own_share_is_left_whatever_the_others_have(store: RedisStore):
    keys = await opened(store, "x")
    await store.exchange(keys, ask(said(alone=True), count=0, replica="lost", share=0.6))
    assert (await store.exchange(keys, ask(said(weight=1), count=10))).granted == 10 - 6


async def test_a_state_that_was_evicted_alone_gives_no_token_back_twice(server: Server, store: RedisStore):
    keys = await opened(store, "x")
    await store.exchange(keys, ask(said(ended=10, window_ms=100), count=0))
    async with Redis.from_url(server.url) as redis:  # pyright: ignore[reportUnknownMemberType]
        await redis.delete(f"{keys[0]}:state")
    await store.exchange(keys, ask(said(window_ms=100), count=0))
    await asyncio.sleep(0.12)
    assert (await store.exchange(keys, ask(said(weight=1), count=20))).granted == 10


async def test_a_server_that_is_gone_is_told_as_such(server: Server, store: RedisStore):
    await server.kill()
    with pytest.raises(StoreGoneError):
        await store.exchange(["{test}:x"], ask(said()))


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


async def test_two_replicas_use_one_budget_through_the_death_and_return_and_hanging_of_the_server(server: Server):
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


async def test_a_store_that_was_never_reached_is_said_once_and_why(server: Server):
    await server.kill()
    limit = Limit(name="ip_calls", scope="ip", capacity=20, window=0.5)
    replica = Replica("one", server.url, limit, SlidingVenue(20, 0.5))
    await replica.said.told.wait()
    assert [scope.mode for scope in replica.permits.snapshot()] == ["fallback"]
    await replica.stop()
    assert replica.said.lines == ["lost: the store of shared limits: ConnectionError"]
