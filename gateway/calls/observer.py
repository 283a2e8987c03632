"""What calls to venues tell whoever watches: metrics and logs in production, nothing in the simulation."""

from typing import Protocol

from gateway.outcomes import Outcome
from gateway.venues.venue import Call
from schemas import VenueName


class CallObserver(Protocol):
    """One method a thing that happens to a call; none may raise or block."""

    def called(self, venue: VenueName, call: Call, status: int | None, outcome: Outcome, seconds: float) -> None:
        """A venue call ended, with an HTTP status or without an answer."""
        ...

    def waited(self, venue: VenueName, seconds: float) -> None:
        """A permit was granted after `seconds`."""
        ...

    def resized(self, venue: VenueName, limit: str, before: int, capacity: int) -> None:
        """The venue publishes another capacity of one of its limits."""
        ...
