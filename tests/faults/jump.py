"""An event loop whose time jumps over every wait, for tests over real sockets within one process.

Time stands still while anything is being worked on or is under way between two sockets, and moves to the next timer
when nothing is. So the gateway's and the venues' real settings take no time, and a slow machine changes no result.
"""

import asyncio
import functools
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, ParamSpec

from tests.clocks import NOON

P = ParamSpec("P")
SHORT = 0.1  # seconds; a jump no longer does little harm should a byte be on its way after all
PATIENCE, SHORT_PATIENCE = 0.002, 0.0002  # real seconds without a byte from any socket, before a jump
STUCK = 10.0  # real seconds without a byte and without a timer
START = 5.0  # seconds into a minute of the venues' clocks


class _Jump(selectors.DefaultSelector):
    """Waits for sockets hardly at all, for timers not at all."""

    loop: "JumpingLoop"

    def select(self, timeout: float | None = None):
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            return super().select(STUCK) or _stuck()
        if timeout <= SHORT:  # an epoll waits for whole milliseconds
            time.sleep(min(timeout, SHORT_PATIENCE))
        ready = super().select(0 if timeout <= SHORT else PATIENCE)
        if not ready:
            self.loop.now += timeout
        return ready


def _stuck() -> NoReturn:
    raise RuntimeError("everybody waits, and no timer runs")


class JumpingLoop(asyncio.SelectorEventLoop):
    """The loop, and a `gateway.clock.Clock` that reads its time."""

    def __init__(self) -> None:
        self.now = START
        selector = _Jump()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now + 1234.5

    def wall(self) -> float:
        return self.now + NOON


def jumping(main: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on such a loop."""

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=JumpingLoop) as runner:
            runner.run(main(*args, **kwargs))

    return run


def clock() -> JumpingLoop:
    """The clock of the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    return loop
