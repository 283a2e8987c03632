"""How a venue counts: fixed wall-clock windows as the real ones do, or any window of that length, which is stricter.

Pure arithmetic on the times it is given; `gate` holds one meter per limit and scope.
"""

from collections import deque
from math import floor
from typing import Literal

Windows = Literal["fixed", "sliding"]


class Meter:
    """One limit's count for one scope.

    A call over the limit is not counted against later windows, but `over` counts it.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.over = 0
        self._index: int = -1
        self._used = 0
        self._recent: deque[tuple[float, int]] = deque()
        self._recent_sum = 0
        self._spender_rate = 0.0
        self._spender_next = 0.0

    def used(self, now: float, window: float) -> int:
        """Weight in the current wall-clock window."""
        self._advance(now, window)
        return self._used

    def charge(self, weight: int, now: float, window: float, capacity: int, windows: Windows) -> float:
        """Count a call; 0, or the seconds until it would fit where it is over the limit and not allowed."""
        self._advance(now, window)
        self.calls += 1
        held = self._used if windows == "fixed" else self._recent_sum
        if held + weight <= capacity:
            self._add(weight, now)
            return 0.0
        self.over += 1
        return self._wait(weight, now, window, capacity, windows)

    def spend(self, per_second: float, now: float) -> None:
        """From now on a second spender takes this weight a second, one by one; 0 ends it."""
        self._spender_rate = per_second
        self._spender_next = now

    def _wait(self, weight: int, now: float, window: float, capacity: int, windows: Windows) -> float:
        if windows == "fixed":
            return (self._index + 1) * window - now
        excess = self._recent_sum + weight - capacity
        for at, spent in self._recent:
            excess -= spent
            if excess <= 0:
                return at + window - now
        return window

    def _add(self, weight: int, at: float) -> None:
        self._used += weight
        self._recent.append((at, weight))
        self._recent_sum += weight

    def _advance(self, now: float, window: float) -> None:
        self._let_spend(now, window)
        self._roll(now, window)

    def _let_spend(self, now: float, window: float) -> None:
        if not self._spender_rate:
            return
        self._spender_next = max(self._spender_next, now - 2 * window)
        while self._spender_next <= now:
            self._roll(self._spender_next, window)
            self._add(1, self._spender_next)
            self._spender_next += 1 / self._spender_rate

    def _roll(self, now: float, window: float) -> None:
        index = floor(now / window)
        if index != self._index:
            self._index, self._used = index, 0
        recent = self._recent
        while recent and recent[0][0] <= now - window:
            self._recent_sum -= recent.popleft()[1]
