"""A venue's clock as we know it: our monotonic clock and an offset, measured by a round trip.

Measured at start, every few minutes, when the wall clock is stepped, and whenever the venue complains. Every signed
timestamp and every deadline by date comes from here, so a wall clock that is wrong, or set while we run, sends nothing
that has expired and refuses nothing that has not. Deadlines go by the middle of the round trip. What is signed goes by
its end, the earliest that the venue's clock can show: the venue takes a request for its receive window from then on, so
it takes none later than that window after we sent it. Before the first measurement the wall clock is all there is.
"""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.calls.venue_caller import PublicReply
from gateway.clock import Clock
from gateway.venues.venue import Venue

# Seconds: the clock may be off by half of it; while a process is stopped, by any time.
LONGEST_ROUND_TRIP = 1.0


class VenueClock:
    """One venue's clock."""

    def __init__(self, venue: Venue, clock: Clock) -> None:
        self._venue = venue
        self._clock = clock
        self._measuring = asyncio.Lock()
        self._measurements = 0
        self._measured = False
        self._ahead: float | None = None  # of our monotonic clock
        self._ahead_at_least = 0.0

    @property
    def offset(self) -> float | None:
        """Seconds that the venue's clock is ahead of our wall clock; None before it was measured."""
        return None if self._ahead is None else self._clock.monotonic() + self._ahead - self._clock.wall()

    def wall(self) -> float:
        """Seconds since 1970 UTC by the venue's clock."""
        return self._clock.wall() if self._ahead is None else self._clock.monotonic() + self._ahead

    def timestamp_ms(self) -> int:
        """What to sign with: milliseconds since 1970 UTC, of which the venue's clock shows at least so many by now."""
        wall = self._clock.wall() if self._ahead is None else self._clock.monotonic() + self._ahead_at_least
        return int(wall * 1000)

    async def measure(self, ask: Callable[[], Awaitable[PublicReply | None]]) -> bool:
        """Ask the venue's clock; False, and the old offset, where it does not tell, or takes too long to.

        Callers at once share one request, also where it fails: many lanes complain together.
        """
        before = self._measurements
        async with self._measuring:
            if self._measurements == before:
                self._measured = self._learn(await ask())
                self._measurements += 1
            return self._measured

    def _learn(self, answer: PublicReply | None) -> bool:
        if answer is None or answer.ended - answer.begun > LONGEST_ROUND_TRIP:
            return False
        told = self._venue.server_time_ms(answer.reply)
        if told is None:
            return False
        self._ahead = told / 1000 - (answer.begun + answer.ended) / 2
        self._ahead_at_least = told / 1000 - answer.ended
        return True
