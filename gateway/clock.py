"""Time, passed in everywhere: the one place that asks the machine what time it is."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings of time: one for waiting, one for dates."""

    def monotonic(self) -> float:
        """Seconds that only go forward, also while the process is stopped by a signal."""
        ...

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        ...


class SystemClock:
    """The machine's own clocks."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
