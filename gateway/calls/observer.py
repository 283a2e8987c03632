"""What calls to venues tell whoever watches: metrics and logs in production, nothing in the simulation."""

from typing import NamedTuple, Protocol

from msgspec import Struct

from gateway.outcomes import Outcome
from gateway.venues.venue import Call
from schemas import VenueName


class CallTimes(NamedTuple):
    """When a call's turn was asked for and came, when it was begun, and when it was signed; monotonic seconds."""

    wanted: float
    granted: float
    begun: float
    signed: float


class Called(Struct, frozen=True, kw_only=True):
    """One venue call that ended.

    Attributes:
        account: whose keys signed it; empty for a public call.
        about: what it was made for, as who made it said; None for a public call.
        status: the HTTP status; None where no answer came.
        outcome: what it meant; None for a public call.
        seconds: from its signature to its answer.
    """

    venue: VenueName
    account: str
    call: Call
    about: object
    times: CallTimes
    status: int | None
    outcome: Outcome | None
    seconds: float


class CallObserver(Protocol):
    """One method a thing that happens to a call; none may raise or block."""

    def called(self, fact: Called) -> None:
        """A venue call ended."""
        ...

    def waited(self, venue: VenueName, seconds: float) -> None:
        """A permit was granted after `seconds`."""
        ...

    def missed_venue_clock(self, venue: VenueName) -> None:
        """The venue did not tell its clock."""
        ...

    def compared_clocks(self, venue: VenueName, offset: float, *, differ: bool) -> None:
        """The venue's clock is `offset` seconds ahead of our wall clock: too much from now on, or no longer."""
        ...

    def resized(self, venue: VenueName, limit: str, before: int, capacity: int) -> None:
        """The venue publishes another capacity of one of its limits."""
        ...
