"""Time that jumps, and processes that can be killed or stopped at any step: each an event loop of its own.

One `World` steps all loops over one virtual clock, in an order that the seed alone decides. No sockets, no threads.
"""

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from heapq import heappop, heappush
from random import Random
from typing import Any

from tests.kit.clocks import NOON


class Handle:
    """A callback to come, as asyncio wants it: it can be cancelled."""

    __slots__ = ("args", "callback", "off")

    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.callback = callback
        self.args = args
        self.off = False

    def cancel(self) -> None:
        self.off = True

    def cancelled(self) -> bool:
        return self.off


class World:
    """The clock, the seed's randomness, and what is due when."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        self.random = Random(seed)
        self.errors: list[str] = []
        self._due: list[tuple[float, int, Process | None, Handle]] = []
        self._number = 0
        self._ready: deque[Process] = deque()

    @property
    def timers(self) -> int:
        """How many callbacks are to come at some time."""
        return sum(not handle.off for _, _, _, handle in self._due)

    def after(self, delay: float, callback: Callable[..., Any], *args: Any) -> None:
        """Let something happen outside of all processes."""
        self.schedule(self.now + delay, None, Handle(callback, args))

    def schedule(self, when: float, process: "Process | None", handle: Handle) -> None:
        """Let a callback be due."""
        self._number += 1
        heappush(self._due, (when, self._number, process, handle))

    def wake(self, process: "Process") -> None:
        """A process has something to do now."""
        self._ready.append(process)

    def run(self, until: float) -> None:
        """Let time go on to an instant."""
        while True:
            while self._ready:
                self._ready.popleft().step()
            if not self._due or self._due[0][0] > until:
                self.now = until
                return
            self.now = max(self.now, self._due[0][0])
            while self._due and self._due[0][0] <= self.now:  # as asyncio does: all that is due, then what it leads to
                _, _, process, handle = heappop(self._due)
                if handle.off:
                    continue
                if process is None:
                    handle.callback(*handle.args)
                else:
                    process.arrive(handle)


class Process(asyncio.AbstractEventLoop):
    """One process: an event loop that only runs while the process is neither stopped nor dead.

    Attributes:
        fuse: callbacks until `blow` is called, which may kill or stop it in the middle of anything; below 0: none.
        armed: how long a fuse is lit at the next `weak_point`; below 0: none.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.stopped = False
        self.fuse = -1
        self.armed = -1
        self.blow: Callable[[], None] = lambda: None
        self.tasks: set[asyncio.Task[Any]] = set()
        self._ready: deque[Handle] = deque()
        self._woken = False

    def kill(self) -> None:
        """As by kill -9: nothing of it runs ever again."""
        self.alive = False

    def stop_signal(self) -> None:
        """As by SIGSTOP: what becomes due waits."""
        self.stopped = True

    def continue_signal(self) -> None:
        """As by SIGCONT."""
        self.stopped = False
        self._wake()

    def weak_point(self) -> None:
        """Something begins that a kill or a stop in the middle of it is likely to spoil."""
        if self.armed >= 0:
            self.fuse, self.armed = self.armed, -1

    def arrive(self, handle: Handle) -> None:
        """A timer is due."""
        self._ready.append(handle)
        self._wake()

    def step(self) -> None:
        """Run what is ready now."""
        self._woken = False
        if not self.alive or self.stopped:
            return
        events._set_running_loop(self)  # pyright: ignore[reportAttributeAccessIssue]
        try:
            for _ in range(len(self._ready)):
                handle = self._ready.popleft()
                if not handle.off:
                    self._run(handle)
                    if self.fuse >= 0 and self._burn():
                        return
        finally:
            events._set_running_loop(None)  # pyright: ignore[reportAttributeAccessIssue]
        if self._ready:
            self._wake()

    def bury(self) -> None:
        """Cancel what a dead process left behind, so that nothing of it runs when it is garbage."""
        self.alive, self.stopped, self.fuse = True, False, -1
        for _ in range(10):
            for task in list(self.tasks):
                task.cancel()
            while self._ready:
                self.step()
        self.alive = False

    # What asyncio asks of a loop.

    def time(self) -> float:
        return self.world.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(self, callback, *args, context=None):
        handle = Handle(callback, args)
        self._ready.append(handle)
        if not self._woken:
            self._wake()
        return handle

    def call_soon_threadsafe(self, callback, *args, context=None):
        return self.call_soon(callback, *args)

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self.world.now + delay, callback, *args)

    def call_at(self, when, callback, *args, context=None):
        handle = Handle(callback, args)
        self.world.schedule(when, self, handle)
        return handle

    def create_future(self):
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, Any], *, name=None, context=None):
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.alive:
            self.world.errors.append(f"{self.name}: {context.get('message')}: {context.get('exception')!r}")

    def _wake(self) -> None:
        if self.alive and not self.stopped and not self._woken:
            self._woken = True
            self.world.wake(self)

    def _run(self, handle: Handle) -> None:
        try:
            handle.callback(*handle.args)
        except Exception as error:  # noqa: BLE001 - as asyncio's own handles
            self.call_exception_handler({"message": "a callback failed", "exception": error})

    def _burn(self) -> bool:
        self.fuse -= 1
        if self.fuse < 0:
            self.blow()
            return True
        return False


def running_process() -> Process:
    """The process whose step this is."""
    process = asyncio.get_running_loop()
    assert isinstance(process, Process)
    return process


class LoopClock:
    """The virtual clock, as the gateway reads it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic(self) -> float:
        return self._world.now

    def wall(self) -> float:
        return NOON + self._world.now


def on_virtual_time(main: Callable[[World], Coroutine[Any, Any, None]], *, until: float = 1e6) -> None:
    """Run a test's coroutine in one simulated process; it must end by itself."""
    world = World(0)
    process = Process(world, "test")
    tasks: list[asyncio.Task[None]] = []
    process.call_soon(lambda: tasks.append(process.create_task(main(world))))
    world.run(until)
    failed = [] if not tasks[0].done() else [tasks[0].exception()]
    ended = tasks[0].done()
    process.bury()
    for error in failed:
        if error is not None:
            raise error
    assert ended, "the test still waits"
    assert not world.errors, world.errors
