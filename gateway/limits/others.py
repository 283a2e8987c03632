"""What everybody else spends of one limit, learned from the venue's usage headers.

Before it, an answer's `Usage`; after it, `bucket`, which leaves room for what others have spent and will spend.

The venue counts in windows of its own wall clock. In one of them, the highest count it told us less all of ours that it
told us in the same window is what others had spent by then: both numbers only grow, so the order of answers is
indifferent, and a call of ours that is counted but not yet answered makes the figure too high, never too low.
"""

from math import floor, sqrt
from typing import NamedTuple

SLACK = 0.25
"""Seconds by which our idea of the venue's clock may be wrong, where the venue tells it in milliseconds."""
SIGMAS = 3.0
"""How many standard deviations others may spend above their mean before somebody meets the limit."""
SAMPLES = 60
"""How often a window what others have spent is sampled, to learn how unevenly they spend."""


class Seen(NamedTuple):
    """What was known when a call began: the number of the venue's window and the highest count seen in it."""

    number: int
    top: int


class Spending(NamedTuple):
    """One call of ours: what it costs, when it began, and what was known then (`Others.mark`)."""

    weight: int
    since: float
    mark: Seen | None


class _Tally:
    """One window of the venue's clock as its headers tell it, and how others' spending grew from sample to sample."""

    __slots__ = ("began_at", "grown", "number", "ours", "sampled", "sampled_at", "samples", "seen_at", "squares", "top")

    def __init__(self, number: int, began_at: float) -> None:
        self.number = number
        self.began_at = began_at
        self.top = 0
        self.ours = 0
        self.seen_at = began_at
        self.sampled = 0
        self.sampled_at = began_at
        self.samples = 0.0
        self.grown = 0
        self.squares = 0.0

    @property
    def others(self) -> int:
        return max(0, self.top - self.ours)

    def add(self, call: Spending, used: int, sample: float) -> None:
        self.ours += call.weight
        if used > self.top:
            self.top = used
            self.seen_at = max(self.seen_at, call.since)
        passed = (call.since - self.sampled_at) / sample
        if passed >= 1:
            growth = max(0, self.others - self.sampled)  # less only where unanswered calls turned out to be ours
            self.samples += passed
            self.grown += growth
            self.squares += growth * growth / passed
            self.sampled, self.sampled_at = self.others, call.since

    def rate(self, window: float) -> float:
        return self.others / max(self.seen_at - self.began_at, window / 8)


class Others:
    """The other spenders of one limit: what they have spent, and a forecast until the window's end.

    Before any header nothing is known and everything is expected: then `bucket` lets one call go alone to find out. So
    it is again after a window without a header; and if none comes for one more, the venue is taken to send none.
    Until one window has been seen to its end, others are expected to spend half of what it holds.
    """

    __slots__ = (
        "_blind_at",
        "_clock_error",
        "_ends_at",
        "_last",
        "_lost",
        "_lost_at",
        "_lump",
        "_now",
        "_rate",
        "capacity",
        "window",
    )

    def __init__(self, capacity: int, window: float, clock_error: float = SLACK) -> None:
        self.capacity = capacity
        self.window = window
        self._clock_error = clock_error
        self._now: _Tally | None = None
        self._last: _Tally | None = None
        self._rate = 0.0
        self._lump = 1.0  # variance over mean: 1 for single calls of weight 1 at random, more for heavy ones and bursts
        self._ends_at = 0.0
        self._blind_at: float | None = None
        self._lost = 0
        self._lost_at = 0.0

    def known(self, now: float) -> int:
        """What others are known to have spent in the venue's current window."""
        self._roll(now)
        return self._now.others if self._now else 0

    def expected(self, now: float) -> int:
        """What others will have spent at the window's end, if they go on from the last answer as before."""
        self._roll(now)
        if self._now is None:
            return 0 if self._blind(now) else self.capacity
        return self._forecast(self._now, self._ends_at - self._now.seen_at)

    def optimistic(self, at: float) -> int:
        """The same if they have spent nothing since the last answer: enough to let one call go alone and find out."""
        return self._forecast(self._now, max(0.0, self._ends_at - at)) if self._now else 0

    def ends_at(self, now: float) -> float | None:
        """When the venue's window ends, on our clock; None while unknown."""
        self._roll(now)
        return self._ends_at if self._now else self._blind_at

    def mark(self, now: float) -> Seen | None:
        """What is known as a call begins; hand it back with the call's answer."""
        self._roll(now)
        if self._now is None:
            self._blind_at = now + self.window if self._blind_at is None else self._blind_at
            return None
        return Seen(self._now.number, self._now.top)

    def observe(self, call: Spending, used: int, now: float, venue_wall: float) -> None:
        """Take in an answer's count.

        Args:
            call: the one that was answered.
            used: the header: what everybody, this call included, had spent in the window.
            now: when the answer came.
            venue_wall: the venue's clock at `now`, seconds since 1970 UTC.
        """
        self._roll(now)
        number = self._window_of(used, venue_wall - (now - call.since), venue_wall, call.mark)
        if number is None:
            return
        if self._now is None or number > self._now.number:
            self._begin(number, now + number * self.window - venue_wall)
        tally = self._now if self._now and self._now.number == number else self._last
        if tally and tally.number == number:
            self._count(tally, call, used)

    def unanswered(self, call: Spending, now: float) -> None:
        """A call ended without a count: it is ours, should the count of a later call include it."""
        self._roll(now)
        if self._now and call.since >= self._ends_at - self.window:
            self._lost += call.weight
            self._lost_at = now

    def _count(self, tally: _Tally, call: Spending, used: int) -> None:
        tally.add(call, used, self.window / SAMPLES)
        if tally is self._now and self._lost and call.since >= self._lost_at:
            tally.ours += self._lost
            self._lost = 0
        self._learn()

    def _window_of(self, used: int, began: float, ended: float, mark: Seen | None) -> int | None:
        """The window in which the venue counted a call that began and ended at these times of its clock."""
        first, final = (
            floor((began - self._clock_error) / self.window),
            floor((ended + self._clock_error) / self.window),
        )
        if first == final:
            return final
        if mark is None:
            return None
        # A window known to have begun before the call, or a count that fell: then it was counted in the newer one.
        return final if mark.number >= final or (mark.number == first and used <= mark.top) else first

    def _begin(self, number: int, began_at: float) -> None:
        self._ends_at = began_at + self.window + self._clock_error
        previous = self._now
        self._last = previous if previous and previous.top and previous.number == number - 1 else None
        self._now = _Tally(number, began_at)
        self._lost = 0
        self._learn()

    def _roll(self, now: float) -> None:
        if self._now is None or now < self._ends_at:
            return
        if self._now.top and now < self._ends_at + self.window:
            self._begin(self._now.number + 1, self._ends_at - self._clock_error)
        else:
            self._now = self._last = self._blind_at = None

    def _blind(self, now: float) -> bool:
        return self._blind_at is not None and now >= self._blind_at

    def _learn(self) -> None:
        tallies = [tally for tally in (self._now, self._last) if tally]
        assumed = [self.capacity / (2 * self.window)] if self._last is None else []
        self._rate = max(assumed + [tally.rate(self.window) for tally in tallies])
        grown = sum(tally.grown for tally in tallies)
        if grown > 0:
            mean = grown / sum(tally.samples for tally in tallies)
            self._lump = max(1.0, sum(tally.squares for tally in tallies) / grown - mean)

    def _forecast(self, tally: _Tally, left: float) -> int:
        mean = self._rate * left
        return min(self.capacity, floor(tally.others + mean + SIGMAS * sqrt(mean * self._lump)))
