"""A venue that counts strictly: what the tests of the limits spend their budgets at."""

from collections import deque
from random import Random

from tests.kit.jumping import JumpingLoop


class StrictVenue:
    """Counts every call in the fixed windows of its wall clock, and in every sliding window of the same length."""

    def __init__(self, loop: JumpingLoop, capacity: int, window: float) -> None:
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
