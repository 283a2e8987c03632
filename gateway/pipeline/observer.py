"""What the pipeline tells whoever watches: metrics and logs in production, nothing in the simulation."""

from typing import Protocol

from gateway.calls.observer import CallObserver
from gateway.outcomes import Outcome
from gateway.pipeline.command import Command, CommandRecord
from schemas import Event, VenueName


class Observer(CallObserver, Protocol):
    """One method a thing that happens to a command, beside those of its calls; none may raise or block."""

    def answered(self, incoming: Command, event: Event, seconds: float) -> None:
        """A command's answer is committed, `seconds` after the command was read."""
        ...

    def dead_lettered(self, record: CommandRecord, stage: str, reason: str, message: str) -> None:
        """A record's bytes went to the dead-letter topic."""
        ...

    def braked(self, venue: VenueName) -> None:
        """A dead letter was left out because too many were written lately."""
        ...

    def repeated(self, incoming: Command) -> None:
        """A command id came again and was skipped."""
        ...

    def retried(self, incoming: Command, outcome: Outcome, seconds: float) -> None:
        """A call is to be repeated after a back-off of `seconds`."""
        ...

    def transacted(self, partition: int, count: int, seconds: float) -> None:
        """`count` answers were committed in one transaction."""
        ...

    def recovered(self, partition: int, error: BaseException) -> None:
        """A transaction's outcome was unknown, and the partition's answers are being read to learn it."""
        ...

    def began_anew(self, committed: int, end: int) -> None:
        """A partition's committed offset is beyond its end: its topic was deleted and made again."""
        ...

    def lost_answers(self, committed: int, end: int) -> None:
        """Events were deleted that may answer commands from the committed offset to the end: those are not sent."""
        ...

    def refused(self, partition: int, why: str, times: int) -> None:
        """The broker refused an answer for the `times`th time in a row; the partition waits until it takes it."""
        ...

    def failed(self, incoming: Command, error: BaseException) -> None:
        """A bug: the command is answered `outcome_unknown` and the gateway goes on."""
        ...
