"""How long limits rest once a venue has said that one is met: what it asks for, and never less than a floor that grows.

`venue_caller` asks after each answer; pure, in monotonic seconds. A venue that says "now", or names a time that is
over, would be asked again at once, and so on up to a ban: for such answers in a row the floor doubles, up to the
longest window of the limits. One that says how long is believed.
"""

from collections.abc import Iterable
from math import inf

FIRST_FLOOR = 1.0
DOUBLINGS = 16

LimitScope = tuple[str, str]
"""A limit's name, and the account where it is counted by account."""


class Pauses:
    """The floors of one venue's limits."""

    def __init__(self) -> None:
        self._floors: dict[LimitScope, tuple[int, float]] = {}  # such answers in a row, and when the last of them came

    def seconds(
        self, scopes: Iterable[LimitScope], told: float | None, *, longest: float, begun: float, now: float
    ) -> float:
        """How long to rest from now on.

        Args:
            scopes: the limits that the call touched.
            told: what the answer asks for, in seconds; None where it says nothing.
            longest: the longest of the limits' windows, after which all that we have spent is free again.
            begun: when the call began: calls under way together count as one.
            now: when its answer came.
        """
        if told is None:
            return longest
        if told >= FIRST_FLOOR:
            return told
        return max(told, *(min(longest, self._grown(scope, begun, now)) for scope in scopes), min(longest, FIRST_FLOOR))

    def succeeded(self, scopes: Iterable[LimitScope]) -> None:
        """A call that touches these limits was let through."""
        for scope in scopes:
            self._floors.pop(scope, None)

    def _grown(self, scope: LimitScope, begun: float, now: float) -> float:
        row, since = self._floors.get(scope, (0, -inf))
        if begun > since:
            row, since = min(row + 1, DOUBLINGS), now
            self._floors[scope] = (row, since)
        return FIRST_FLOOR * 2.0 ** (row - 1)
