"""An event loop whose time jumps over every wait, for tests within one process.

Time stands still while anything is being worked on, or is under way between two sockets, and moves to the next timer
when nothing is. So the gateway's and the venues' real settings take no time, and a slow machine changes no result.
"""

import asyncio
import functools
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, ParamSpec

from tests.kit.clocks import NOON

P = ParamSpec("P")
Test = Callable[P, Coroutine[Any, Any, None]]
SHORT = 0.1  # seconds; a jump no longer does little harm should a byte be on its way after all
PATIENCE, SHORT_PATIENCE = 0.002, 0.0002  # real seconds without a byte from any socket, before a jump
STUCK = 10.0  # real seconds without a byte and without a timer
START = 500.0
INTO_A_MINUTE = 5.0  # seconds of the venues' clocks, at the start


class _Jump(selectors.DefaultSelector):
    """Waits for nothing: nobody talks over sockets."""

    loop: "JumpingLoop"

    def select(self, timeout: float | None = None):
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            return self.stuck()
        ready = self.last_bytes(timeout)
        if not ready:
            self.loop.now += timeout
        return ready

    def stuck(self) -> Any:
        """What comes where no timer runs."""
        _never()

    def last_bytes(self, _timeout: float) -> Any:
        """What comes before a jump."""
        return []


class _JumpOverSockets(_Jump):
    """Waits for sockets hardly at all, for timers not at all."""

    def stuck(self) -> Any:
        return super(_Jump, self).select(STUCK) or _never()

    def last_bytes(self, timeout: float) -> Any:
        if timeout <= SHORT:  # an epoll waits for whole milliseconds
            time.sleep(min(timeout, SHORT_PATIENCE))
        return super(_Jump, self).select(0 if timeout <= SHORT else PATIENCE)


def _never() -> NoReturn:
    raise RuntimeError("everybody waits, and no timer runs")


class JumpingLoop(asyncio.SelectorEventLoop):
    """The loop, and a `gateway.clock.Clock` whose readings differ from the loop's and from each other."""

    def __init__(self, jump: type[_Jump] = _Jump, wall: float = NOON) -> None:
        self.now = START
        self._ahead = wall - START
        selector = jump()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now + 1234.5

    def wall(self) -> float:
        return self.now + self._ahead


def jumping(main: Test[P]) -> Callable[P, None]:
    """Run an async test on such a loop; whatever talks does so within the process."""
    return on_loop(JumpingLoop)(main)


def jumping_over_sockets(main: Test[P]) -> Callable[P, None]:
    """Run an async test on a loop that jumps when nothing is under way between two sockets."""
    return on_loop(functools.partial(JumpingLoop, _JumpOverSockets, NOON + INTO_A_MINUTE))(main)


def on_loop(loop: Callable[[], JumpingLoop]) -> Callable[[Test[P]], Callable[P, None]]:
    """Run an async test on a loop made for it."""

    def decorate(main: Test[P]) -> Callable[P, None]:
        @functools.wraps(main)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            with asyncio.Runner(loop_factory=loop) as runner:
                runner.run(main(*args, **kwargs))

        return run

    return decorate


def clock() -> JumpingLoop:
    """The clock of the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpingLoop)
    return loop
