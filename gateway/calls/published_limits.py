"""Keeps the limits as the venues publish them: asked at the start and every hour, unless the settings say otherwise.

Before it, `app` registers the limits that the venues' pages tell; after it, `limits.permits` grants by the newest.
"""

import asyncio
from collections.abc import Iterable

from gateway.calls.observer import CallObserver
from gateway.calls.venue_caller import VenueCaller
from gateway.limits.limit import LimitPolicy
from gateway.limits.permits import Permits
from gateway.settings.tree import VenueSettings
from schemas import VenueName

INTERVAL = 3600.0
RETRY = 60.0  # seconds until a venue that told nothing is asked again
PATIENCE = 90.0  # seconds, the wait in line for a permit included
LARGEST_ANSWER_BYTES = 16 * 1024 * 1024  # exchangeInfo describes every symbol: far more than any other answer


class PublishedLimits:
    """What the venues publish of their limits."""

    def __init__(self, callers: Iterable[VenueCaller], permits: Permits, observer: CallObserver) -> None:
        self._callers = [one for one in callers if one.venue.publishing is not None]
        self._permits = permits
        self._observer = observer
        self._known = {
            (one.venue.name, limit.name): limit.capacity for one in self._callers for limit in one.venue.limits
        }

    async def run(self) -> None:
        """Keep them for ever."""
        async with asyncio.TaskGroup() as tasks:
            for caller in self._callers:
                tasks.create_task(self._keep(caller))

    async def refresh(self, caller: VenueCaller) -> bool:
        """Ask one venue now; False where it told nothing, and the limits stay."""
        publishing = caller.venue.publishing
        if publishing is None:
            return False
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await caller.ask(publishing.call, largest_answer_bytes=LARGEST_ANSWER_BYTES)
        except TimeoutError:
            return False
        told = publishing.capacities(answer) if answer else {}
        for name, capacity in told.items():
            self._follow(caller, name, capacity)
        return bool(told)

    def _follow(self, caller: VenueCaller, name: str, capacity: int) -> None:
        venue: VenueName = caller.venue.name
        override = caller.settings.limits.get(name)
        overridden = override is not None and (override.capacity is not None or override.window is not None)
        if overridden or self._known[venue, name] == capacity:
            return
        self._observer.resized(venue, name, self._known[venue, name], capacity)
        self._known[venue, name] = capacity
        self._permits.resize(venue, name, capacity)

    async def _keep(self, caller: VenueCaller) -> None:
        while True:
            told = await self.refresh(caller)
            await asyncio.sleep(INTERVAL if told else RETRY)


def limit_policies(settings: VenueSettings) -> dict[str, LimitPolicy]:
    """What the settings say of a venue's limits, in place of what it publishes."""
    return {
        name: LimitPolicy(
            capacity=limit.capacity,
            window=limit.window,
            is_shared=limit.shared,
            assume_spent=limit.assume_spent_at_start,
        )
        for name, limit in settings.limits.items()
    }
