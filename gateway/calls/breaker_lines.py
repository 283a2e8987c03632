"""The breakers of one venue, one an account, and the line of those who wait for each: a place, no task and no timer.

`turns` comes here before it asks for a permit. When a probe is due the first in line goes and finds out whether the
venue answers; once it does the others follow, some in each turn of the loop.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import NamedTuple

from gateway.calls.alarms import Alarms
from gateway.calls.breaker import Breaker, BreakerPolicy
from gateway.clock import Clock

FOLLOWERS = 100  # in one turn of the loop: who follows begins a call


class _Waiter(NamedTuple):
    is_stalled: Callable[[], bool]
    go_on: Callable[[], None]


class BreakerLines:
    """All breakers of one venue."""

    def __init__(self, policy: BreakerPolicy, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._breakers: dict[str, Breaker] = {}
        self._lines: dict[str, dict[int, _Waiter]] = {}
        self._number = 0
        self._alarms: Alarms[str] = Alarms(clock, self._ring)

    @property
    def open(self) -> int:
        """Accounts that are not called now, or only probed."""
        return sum(breaker.is_open for breaker in self._breakers.values())

    def breaker(self, account: str) -> Breaker:
        """The breaker between us and this account; what happens to it is said here, as others wait for it."""
        found = self._breakers.get(account)
        if found is None:
            found = self._breakers[account] = Breaker(self._policy)
        return found

    def wait(self, account: str, is_stalled: Callable[[], bool], go_on: Callable[[], None]) -> Callable[[], object]:
        """Stand in line until `go_on` is called, once, or what is returned is.

        `is_stalled`: whether nobody like this one may wait any more; it goes on then, to be told so.
        """
        line = self._lines.setdefault(account, {})
        self._number += 1
        line[self._number] = _Waiter(is_stalled, go_on)
        if len(line) == 1:
            self._alarms.set(account, self.breaker(account).probe_at(self._clock.monotonic()))
        return partial(line.pop, self._number, None)

    def succeeded(self, account: str) -> None:
        """The venue carried a command out, or said why not: all may go."""
        breaker = self.breaker(account)
        if breaker.is_open and account in self._lines:
            asyncio.get_running_loop().call_soon(self._follow, account)
        breaker.succeeded()

    def reached(self, account: str) -> None:
        """The venue answered a call of another kind: the first in line may find out at once."""
        now = self._clock.monotonic()
        self.breaker(account).reached(now)
        if self._lines.get(account):
            self._alarms.set(account, now)

    def failed(self, account: str) -> None:
        """The venue did not answer."""
        self.breaker(account).failed(self._clock.monotonic())

    def _ring(self, account: str) -> None:
        line, breaker, now = self._lines[account], self.breaker(account), self._clock.monotonic()
        _let_go(line, [number for number, waiting in line.items() if waiting.is_stalled()])
        at = breaker.probe_at(now)
        if not breaker.is_open:
            self._follow(account)
        elif at > now:
            self._await(account, at)
        else:
            _let_go(line, list(islice(line, 1)))
            self._await(account, now + self._policy.reset)  # it may leave, and say nothing

    def _follow(self, account: str) -> None:
        line, breaker = self._lines[account], self.breaker(account)
        if breaker.is_open:
            self._await(account, breaker.probe_at(self._clock.monotonic()))
            return
        _let_go(line, list(islice(line, FOLLOWERS)))
        if line:
            asyncio.get_running_loop().call_soon(self._follow, account)

    def _await(self, account: str, at: float) -> None:
        if self._lines[account]:
            self._alarms.set(account, at)


class BreakerGate(NamedTuple):
    """What holds a call of one account back: the breaker, and a crowd where the venue stalls."""

    lines: BreakerLines
    account: str
    stalls: Callable[[], bool]

    def is_stalled(self) -> bool:
        """Whether nobody may wait here any more."""
        return self.stalls()

    def opens_at(self, now: float) -> float:
        """When the breaker lets the next one through."""
        return self.lines.breaker(self.account).probe_at(now)

    def lets_pass(self, now: float) -> bool:
        """Whether a call with a permit may go now."""
        return self.lines.breaker(self.account).allows(now)

    def wait(self, go_on: Callable[[], None]) -> Callable[[], object]:
        """Stand in the account's line."""
        return self.lines.wait(self.account, self.is_stalled, go_on)


def _let_go(line: dict[int, _Waiter], numbers: list[int]) -> None:
    for number in numbers:
        waiting = line.pop(number, None)  # one that goes may take others along
        if waiting is not None:
            waiting.go_on()
