"""The brake on the dead-letter topic: a venue that is down must not drain the whole command topic into it.

Pure. Every refused command is still answered by its event; past the brake the event says `dead_lettered: false`.
"""

from collections import deque
from collections.abc import Mapping

from schemas import VenueName

WINDOW = 60.0  # seconds


class DeadLetterBrake:
    """Counts the dead letters of each venue over the last minute."""

    def __init__(self, per_minute: Mapping[VenueName, int]) -> None:
        self._per_minute = per_minute
        self._written: dict[VenueName, deque[float]] = {venue: deque() for venue in per_minute}

    def allows(self, venue: VenueName, now: float) -> bool:
        """Count one more dead letter if there is room for it; `now` is monotonic."""
        written = self._written[venue]
        while written and written[0] <= now - WINDOW:
            written.popleft()
        if len(written) >= self._per_minute[venue]:
            return False
        written.append(now)
        return True
