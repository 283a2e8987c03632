"""Whether venues answer, as the events tell: an account's failures in a row, and what the brake left out.

The gateway's breakers and brakes live in its processes, of which there may be many; what comes of them stands in the
events, which all of them write and every operator may read. So a breaker is taken for open where the last answers to
an account all say that its venue could not do it, and a brake for on where an event that should have a letter has none.
Pure.
"""

from collections import Counter

from msgspec import Struct

from schemas import Event, LeverageRejected, Timestamp, VenueName
from schemas.dead_letter import DEAD_LETTERED
from schemas.targets import VENUES, venue_of

NO_ANSWER = frozenset({"venue_unavailable", "outcome_unknown"})
ANSWERED = frozenset({"changed", "venue_rejected"})
BRAKE_WINDOW = 60.0  # seconds over which the gateway counts letters


class AccountHealth:
    """The last answers to one account at one venue."""

    def __init__(self) -> None:
        self.failures = 0  # in a row
        self.failed_at = float("-inf")  # epoch seconds

    def saw(self, event: Event) -> None:
        """Count one event; they come in order."""
        reason = event.reason if isinstance(event, LeverageRejected) else "changed"
        if reason in NO_ANSWER:
            self.failures += 1
            self.failed_at = event.occurred_at.timestamp()
        elif reason in ANSWERED:
            self.failures = 0


class Brake(Struct, frozen=True, kw_only=True, tag_field="type", tag="Brake"):
    """Whether letters of a venue are left out now, since when, how many of the events looked at have none, and why."""

    venue: VenueName
    on: bool
    since: Timestamp | None
    left_out: int
    why: str | None


class _LeftOut:
    """What the brake of one venue left out; the last run of it has no pause of a whole window."""

    def __init__(self) -> None:
        self.count = 0
        self.reasons: Counter[str] = Counter()
        self.since: Timestamp | None = None
        self.until: Timestamp | None = None

    def add(self, at: Timestamp, reason: str) -> None:
        self.count += 1
        self.reasons[reason] += 1
        if self.since is None or self.until is None or (at - self.until).total_seconds() > BRAKE_WINDOW:
            self.since = self.until = at
            return
        self.until = max(self.until, at)
        if at < self.since and (self.since - at).total_seconds() <= BRAKE_WINDOW:
            self.since = at  # partitions are not read in one order


class BrakeWatch:
    """Counts what brakes leave out, from events in the order of their time or nearly so."""

    def __init__(self) -> None:
        self._venues: dict[VenueName, _LeftOut] = {venue: _LeftOut() for venue in VENUES}

    def saw(self, event: Event) -> None:
        """Count one event."""
        if isinstance(event, LeverageRejected) and not event.dead_lettered and event.reason in DEAD_LETTERED:
            self._venues[venue_of(event.target)].add(event.occurred_at, event.reason)

    def free_at(self, venue: VenueName) -> float:
        """When a letter of this venue will not be left out any more, in epoch seconds."""
        until = self._venues[venue].until
        return float("-inf") if until is None else until.timestamp() + BRAKE_WINDOW

    def brakes(self, now: float) -> list[Brake]:
        """The brake of every venue at this time, in epoch seconds."""
        return [self._brake(venue, now) for venue in self._venues]

    def _brake(self, venue: VenueName, now: float) -> Brake:
        seen, is_on = self._venues[venue], now < self.free_at(venue)
        most = seen.reasons.most_common(1)
        why = f"more than venues.{venue}.dead_letters_per_minute were {most[0][0]}" if most else None
        return Brake(venue=venue, on=is_on, since=seen.since if is_on else None, left_out=seen.count, why=why)
