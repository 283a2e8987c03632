"""A lane as a reader names it, and what a cache holds of it."""

from typing import NamedTuple, Self

from msgspec import Struct

from schemas import Event, LeverageChanged, VenueName
from schemas.targets import venue_of


class LaneKey(NamedTuple):
    """Venue, account and lane: what one leverage setting covers."""

    venue: VenueName
    account: str
    lane: str

    @classmethod
    def of(cls, event: Event) -> Self:
        """Return the lane that an event speaks of."""
        return cls(venue_of(event.target), event.account, event.lane)


class LaneState(Struct, frozen=True):
    """What is known of one lane: its last `LeverageChanged`."""

    event: LeverageChanged


class LaneChange(Struct, frozen=True):
    """A lane's state before and after; `old` is None where the lane was not known."""

    key: LaneKey
    old: LaneState | None
    new: LaneState
