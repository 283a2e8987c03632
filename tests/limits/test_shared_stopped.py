"""Replicas that share a budget, one of them stopped, restarted, far away or freezing it: simulated time."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any

from gateway.limits.limit import Cost, Limit, LimitPolicy
from gateway.limits.permits import Grant, Permits
from gateway.limits.shared import LEASE, Exchange, Reply, SharedBuckets
from tests.kit.jumping import JumpingLoop, clock, jumping, on_loop
from tests.limits.scripted_store import Said, ScriptedServer, ScriptedStore
from tests.limits.waiting import acquire

ADDRESS = Limit(name="ip_calls", scope="ip", capacity=10, window=1.0)
ACCOUNT = Limit(name="uid_calls", scope="account", capacity=5, window=20.0)
CALL_TIMEOUT = 1.0


class Stop:
    """Stops one process of several on one loop: of the tasks made in its `process`, none runs meanwhile."""

    current: ContextVar["Stop | None"] = ContextVar("current", default=None)

    def __init__(self) -> None:
        self.is_stopped = False
        self.missed: list[Callable[[], object]] = []
        self.process = copy_context()
        self.process.run(self.current.set, self)

    def wake(self) -> None:
        """Run all that was missed, and go on."""
        self.is_stopped = False
        missed, self.missed = self.missed, []
        for run in missed:
            run()


class StoppingLoop(JumpingLoop):
    """Simulated time on which one of several processes may be stopped (`Stop`)."""

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        context = copy_context() if context is None else context
        return super().call_soon(self._stoppable(callback, context), *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        context = copy_context() if context is None else context
        return super().call_at(when, self._stoppable(callback, context), *args, context=context)

    def _stoppable(self, callback: Callable[..., object], context: Context) -> Callable[..., object]:
        stop = context.get(Stop.current)

        def run(*args: Any) -> None:
            if stop and stop.is_stopped:
                stop.missed.append(lambda: self.call_soon(callback, *args, context=context))
            else:
                callback(*args)

        return run if stop else callback


class DistantStore(ScriptedStore):
    """A way to the server that always takes so long, and counts what goes along it."""

    def __init__(self, server: ScriptedServer, distance: float) -> None:
        super().__init__(server)
        self.asked = 0
        self._distance = distance

    async def exchange(self, keys: Sequence[str], ask: Exchange) -> Reply:
        self.asked += 1
        await asyncio.sleep(self._distance)
        return await super().exchange(keys, ask)


class Process:
    """One gateway, which may be stopped for a while or for ever."""

    def __init__(self, name: str, server: ScriptedServer, distance: float = 0.0) -> None:
        self.store = DistantStore(server, distance)
        shared = SharedBuckets(self.store, replica=name, share=0.5, clock=server.loop, observer=Said())
        self.permits = Permits(server.loop, shared)
        overrides = {limit.name: LimitPolicy(is_shared=True) for limit in (ADDRESS, ACCOUNT)}
        self.permits.register("ztdx", [ADDRESS, ACCOUNT], overrides, call_timeout=CALL_TIMEOUT)
        self.stop = Stop()
        self.calls = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._loop = server.loop
        self.start(shared.run())

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(self._loop.create_task(work, context=self.stop.process.copy()))

    async def end(self) -> None:
        self.stop.wake()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def take(self, count: int, limit: Limit) -> list[Grant]:
        costs = [Cost(limit.name, 1)]
        return list(await asyncio.gather(*(acquire(self.permits, "ztdx", "a", costs) for _ in range(count))))

    async def call(self, limit: Limit = ADDRESS) -> None:
        for permit in await self.take(1, limit):
            self.calls += 1
            permit.spent()

    async def go_on_calling(self) -> None:
        while True:
            await self.call()

    def freeze(self, seconds: float) -> None:
        self.permits.throttle("ztdx", "", ADDRESS.name, self.permits.now() + seconds)


@asynccontextmanager
async def opened(loop: JumpingLoop, *distances: float) -> AsyncGenerator[tuple[ScriptedServer, list[Process]]]:
    """A server that knows these processes and both limits, of the one account, for longer than a window."""
    server = ScriptedServer(loop, Random(1))
    processes = [Process(f"replica-{number}", server, distance) for number, distance in enumerate(distances)]
    for process in processes:
        process.start(process.call(ACCOUNT))
    await asyncio.sleep(2 * (ACCOUNT.window + CALL_TIMEOUT))
    yield server, processes
    for process in processes:
        await process.end()


@on_loop(StoppingLoop)
async def test_what_was_granted_before_a_process_was_stopped_is_not_used_after_it_woke():
    loop = clock()
    async with opened(loop, 0.0, 0.0) as (_, (stopped, other)):
        for permit in await stopped.take(ADDRESS.capacity, ADDRESS):
            permit.give_back()
        stopped.stop.is_stopped = True
        await asyncio.sleep(LEASE + 2 * (CALL_TIMEOUT + ADDRESS.window))
        other.calls = stopped.calls = 0
        for process in (other, stopped):
            for _ in range(ADDRESS.capacity):
                process.start(process.call())
        await asyncio.sleep(ADDRESS.window / 2)
        stopped.stop.wake()
        await asyncio.sleep(ADDRESS.window / 4)
        assert min(other.calls, stopped.calls) > 0
        assert other.calls + stopped.calls <= ADDRESS.capacity


@on_loop(StoppingLoop)
async def test_what_a_process_held_when_it_died_is_not_granted_to_the_next_of_its_name():
    loop = clock()
    async with opened(loop, 0.0, 0.0) as (server, processes):
        dead = processes[0]
        await dead.take(ACCOUNT.capacity, ACCOUNT)
        dead.stop.is_stopped = True
        processes.append(successor := Process("replica-0", server))
        await asyncio.sleep(LEASE / 2)  # it has spoken by now, but not of this account
        successor.start(successor.call(ACCOUNT))
        await asyncio.sleep(ACCOUNT.window)
        assert successor.calls == 0
        await asyncio.sleep(LEASE + CALL_TIMEOUT)
        assert successor.calls == 1


@jumping
async def test_a_replica_far_from_the_store_is_not_starved_by_near_ones():
    loop = clock()
    async with opened(loop, 0.0, 0.0, 0.05) as (server, processes):
        server.latency = 0.0001
        for process in processes:
            process.calls = 0
            for _ in range(ADDRESS.capacity):
                process.start(process.go_on_calling())
        await asyncio.sleep(30 * ADDRESS.window)
        assert min(process.calls for process in processes) >= 30


@jumping
async def test_a_longer_freeze_that_comes_while_a_shorter_one_is_told_is_told_as_well():
    loop = clock()
    async with opened(loop, 0.1, 0.0) as (_, (far, other)):
        far.freeze(0.5)
        await asyncio.sleep(0.05)
        far.freeze(30.0)
        await asyncio.sleep(2.0)
        other.calls = 0
        other.start(other.call())
        await asyncio.sleep(20.0)
        assert other.calls == 0


@jumping
async def test_a_freeze_that_ended_while_the_store_was_gone_is_not_told_for_ever():
    loop = clock()
    async with opened(loop, 0.0) as (server, (replica,)):
        server.kill()
        replica.freeze(0.5)
        await asyncio.sleep(2.0)
        server.start()
        await asyncio.sleep(2.0)
        before = replica.store.asked
        await asyncio.sleep(10.0)
        assert replica.store.asked - before <= 30
