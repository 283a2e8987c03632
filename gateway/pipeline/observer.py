"""What the pipeline tells whoever watches: metrics and logs in production, nothing in the simulation."""

from typing import Protocol

from gateway.outcomes import Outcome
from gateway.pipeline.record import CommandRecord, Incoming
from gateway.venues.venue import Call
from schemas import Event, VenueName


class Observer(Protocol):
    """One method a thing that happens; none may raise or block."""

    def answered(self, incoming: Incoming, event: Event, seconds: float) -> None:
        """A command's answer is committed, `seconds` after the command was read."""
        ...

    def dead_lettered(self, record: CommandRecord, stage: str, reason: str, message: str) -> None:
        """A record's bytes went to the dead-letter topic."""
        ...

    def braked(self, venue: VenueName) -> None:
        """A dead letter was left out because too many were written lately."""
        ...

    def repeated(self, incoming: Incoming) -> None:
        """A command id came again and was skipped."""
        ...

    def called(self, venue: VenueName, call: Call, status: int | None, outcome: Outcome, seconds: float) -> None:
        """A venue call ended, with an HTTP status or without an answer."""
        ...

    def retried(self, incoming: Incoming, outcome: Outcome, seconds: float) -> None:
        """A call is to be repeated after a back-off of `seconds`."""
        ...

    def waited(self, venue: VenueName, seconds: float) -> None:
        """A permit was granted after `seconds`."""
        ...

    def resized(self, venue: VenueName, limit: str, before: int, capacity: int) -> None:
        """The venue publishes another capacity of one of its limits."""
        ...

    def transacted(self, partition: int, count: int, seconds: float) -> None:
        """`count` answers were committed in one transaction."""
        ...

    def recovered(self, partition: int, error: BaseException) -> None:
        """A transaction's outcome was unknown, and the partition's answers are being read to learn it."""
        ...

    def failed(self, incoming: Incoming, error: BaseException) -> None:
        """A bug: the command is answered `outcome_unknown` and the gateway goes on."""
        ...
