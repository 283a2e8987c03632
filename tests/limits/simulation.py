"""Time that jumps, and a venue that counts strictly: what the tests of the limits spend their budgets at."""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any

from tests.clocks import NOON


class _Jump(selectors.DefaultSelector):
    """A selector that does not wait: it moves the loop's clock to the next timer."""

    loop: "SimulatedLoop"

    def select(self, timeout: float | None = None):
        if timeout is None:
            raise RuntimeError("everybody waits, and no timer runs")
        self.loop.now += timeout
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop on simulated time; also a `gateway.clock.Clock`, whose readings differ from the loop's."""

    def __init__(self) -> None:
        self.now = 500.0
        selector = _Jump()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now + 1234.5

    def wall(self) -> float:
        return self.now + NOON - 500.0


class Stop:
    """Stops one process of the simulation: of the tasks made in its `process`, none runs meanwhile."""

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


class StoppingLoop(SimulatedLoop):
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


def simulate(
    main: Callable[[SimulatedLoop], Coroutine[Any, Any, None]], loop_factory: type[SimulatedLoop] = SimulatedLoop
) -> None:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, SimulatedLoop)
        runner.run(main(loop))


class StrictVenue:
    """Counts every call in the fixed windows of its wall clock, and in every sliding window of the same length."""

    def __init__(self, loop: SimulatedLoop, capacity: int, window: float) -> None:
        self._loop = loop
        self._capacity = capacity
        self._window = window
        self._sliding: deque[tuple[float, int]] = deque()
        self._in_window = 0
        self.fixed: dict[int, int] = {}
        self.over: list[str] = []

    def count(self, weight: int, *, ours: bool) -> int:
        """Count a call that arrives now; what its usage header says."""
        now = self._loop.wall()
        number = int(now // self._window)
        self.fixed[number] = self.fixed.get(number, 0) + weight
        if self.fixed[number] > self._capacity:
            self.over.append(f"{'ours' if ours else 'theirs'} at {now}: {self.fixed[number]} in the window")
        if ours:
            self._slide(now, weight)
        return self.fixed[number]

    def use(self, first: int, windows: int) -> float:
        """The used share of so many fixed windows, from the first after the start."""
        numbers = sorted(self.fixed)[first : first + windows]
        return sum(self.fixed[number] for number in numbers) / (self._capacity * windows)

    def _slide(self, now: float, weight: int) -> None:
        self._sliding.append((now, weight))
        self._in_window += weight
        while self._sliding[0][0] <= now - self._window:
            self._in_window -= self._sliding.popleft()[1]
        if self._in_window > self._capacity:
            self.over.append(f"ours at {now}: {self._in_window} within {self._window} s")


def latency(random: Random) -> float:
    """One way there or back: milliseconds with jitter, and now and then much more."""
    return 0.5 if random.random() < 0.001 else random.uniform(0.001, 0.015)
