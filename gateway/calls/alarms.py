"""One timer of the loop for all that wait for a time; what is set again or taken back costs nothing at its old time."""

import asyncio
from collections.abc import Callable, Hashable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Generic, TypeVar

from gateway.clock import Clock

SHORTEST = 0.001  # seconds; a clock that rounds must not make it spin on one instant
Key = TypeVar("Key", bound=Hashable)


class Alarms(Generic[Key]):
    """At most one alarm a key."""

    def __init__(self, clock: Clock, ring: Callable[[Key], None]) -> None:
        """`ring` is told each key whose time has come."""
        self._clock = clock
        self._ring = ring
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf

    def set(self, key: Key, at: float) -> None:
        """Ring at this time, monotonic seconds, and not at an earlier one."""
        if self._due.get(key) == at:
            return
        self._due[key] = at
        self._push(key, at)
        if len(self._heap) > 2 * len(self._due) + 64:
            self._compact()
        self._set_timer()

    def drop(self, key: Key) -> None:
        """Ring no more."""
        self._due.pop(key, None)

    def close(self) -> None:
        """Ring for nobody any more."""
        self._due.clear()
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _push(self, key: Key, at: float) -> None:
        self._number += 1  # keys need no order
        heappush(self._heap, (at, self._number, key))

    def _compact(self) -> None:
        self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
        heapify(self._heap)

    def _set_timer(self) -> None:
        if not self._heap or self._heap[0][0] >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._heap[0][0]
        pause = max(SHORTEST, self._timer_at - self._clock.monotonic())
        self._timer = asyncio.get_running_loop().call_later(pause, self._ring_all)

    def _ring_all(self) -> None:
        self._timer, self._timer_at = None, inf
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heappop(self._heap)
            if self._due.get(key) == at:
                del self._due[key]
                self._ring(key)
        self._set_timer()
