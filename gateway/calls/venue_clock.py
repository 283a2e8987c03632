"""A venue's clock as we know it: ours and an offset, measured by the middle of a round trip.

Measured at start and whenever the venue complains; every signed timestamp comes from here.
"""

import asyncio

from gateway.calls.venue_caller import Sender
from gateway.clock import Clock
from gateway.transport.messages import HttpReply, HttpRequest
from gateway.venues.venue import Venue


class VenueClock:
    """The offset to one venue's clock."""

    def __init__(self, venue: Venue, sender: Sender, clock: Clock) -> None:
        self._venue = venue
        self._sender = sender
        self._clock = clock
        self._measuring = asyncio.Lock()
        self._measurements = 0
        self._measured = False
        self.offset = 0.0

    def timestamp_ms(self) -> int:
        """Milliseconds since 1970 UTC by the venue's clock."""
        return int((self._clock.wall() + self.offset) * 1000)

    async def measure(self) -> bool:
        """Ask the venue's clock; False, and the old offset, where it does not tell.

        Callers at once share one request, also where it fails: many lanes complain together.
        """
        before = self._measurements
        async with self._measuring:
            if self._measurements == before:
                self._measured = await self._measure()
                self._measurements += 1
            return self._measured

    async def _measure(self) -> bool:
        call = self._venue.server_time()
        target = f"{call.path}?{call.query}" if call.query else call.path
        begun = self._clock.wall()
        answer = await self._sender.send(HttpRequest(method=call.method, target=target, headers={}))
        ended = self._clock.wall()
        told = self._venue.server_time_ms(answer) if isinstance(answer, HttpReply) else None
        if told is None:
            return False
        self.offset = told / 1000 - (begun + ended) / 2
        return True
