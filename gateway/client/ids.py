"""Command ids: UUIDv7 (RFC 9562 section 5.7), so that they sort by time and two engines never make the same.

`Client` asks here for every command that brings no id of its own.
"""

import secrets
import time
from collections.abc import Callable
from uuid import UUID

_COUNTER_BITS = 12
_RANDOM_BITS = 62


class CommandIds:
    """Makes ids that only go up within this object, also within one millisecond and when the clock steps back.

    The 12 bits after the time are a counter that starts at random in its lower half (RFC 9562 section 6.2, method 1);
    where it overflows, the time runs ahead by a millisecond.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._ticks = 0  # milliseconds and counter, as one number

    def __call__(self) -> str:
        """The next id, in the usual 36 characters."""
        now = int(self._wall() * 1000) << _COUNTER_BITS
        self._ticks = self._ticks + 1 if self._ticks >= now else now + secrets.randbits(_COUNTER_BITS - 1)
        milliseconds, counter = self._ticks >> _COUNTER_BITS, self._ticks & ((1 << _COUNTER_BITS) - 1)
        number = milliseconds << 80 | 0x7 << 76 | counter << 64 | 0b10 << 62 | secrets.randbits(_RANDOM_BITS)
        return str(UUID(int=number))
