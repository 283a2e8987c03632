"""Keeps the venues' clocks measured: at start, every few minutes, and when the wall clock is set.

`app` owns the task. The broker is no second witness: the timestamps of what we produce are our own (`CreateTime`), and
those of others' commands are their clocks'.
"""

import asyncio
from collections.abc import Collection

from gateway.calls.observer import CallObserver
from gateway.calls.venue_caller import VenueCaller
from gateway.clock import Clock
from schemas import VenueName

LOOK_INTERVAL = 1.0
RETRY = 5.0  # seconds, while a venue's clock is not known
INTERVAL = 600.0  # seconds; a clock that nobody disciplines runs wrong by 50 ppm, 30 ms in that time
STEP = 0.25  # seconds between our two clocks that no slewing explains from one look to the next
LARGEST_DIFFERENCE = 1.0  # seconds; the most that Binance takes a timestamp to be ahead


class ClockWatch:
    """Measures, and says where our wall clock and a venue's differ."""

    def __init__(self, callers: Collection[VenueCaller], clock: Clock, observer: CallObserver) -> None:
        self._callers = callers
        self._clock = clock
        self._observer = observer
        self._between = clock.wall() - clock.monotonic()
        self._due = 0.0
        self._different: set[VenueName] = set()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            await self.look()

    async def look(self) -> None:
        """Measure if it is due, or if the wall clock was set since the last look."""
        between = self._clock.wall() - self._clock.monotonic()
        is_stepped = abs(between - self._between) > STEP
        self._between = between
        if is_stepped or self._clock.monotonic() >= self._due:
            await self.measure()

    async def measure(self) -> None:
        """Measure every venue's clock now, and say once where it begins to differ from ours, or agrees again."""
        measured = await asyncio.gather(*(caller.measure_clock() for caller in self._callers))
        is_known = all(caller.clock_offset is not None for caller in self._callers)
        self._due = self._clock.monotonic() + (INTERVAL if is_known else RETRY)
        for caller, is_measured in zip(self._callers, measured, strict=True):
            if not is_measured:
                self._observer.missed_venue_clock(caller.venue.name)
            self._compare(caller.venue.name, caller.clock_offset or 0.0)

    def _compare(self, venue: VenueName, offset: float) -> None:
        is_different = abs(offset) > LARGEST_DIFFERENCE
        if is_different != (venue in self._different):
            (self._different.add if is_different else self._different.discard)(venue)
            self._observer.compared_clocks(venue, offset, differ=is_different)
