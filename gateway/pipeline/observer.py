"""What the pipeline tells whoever watches: metrics and logs in production, nothing in the simulation."""

from typing import Protocol

from gateway.calls.observer import CallObserver
from gateway.ownership.takeover import TakeoverObserver
from gateway.pipeline.command import Command, CommandRecord
from gateway.pipeline.steps import Retry
from schemas import Event, VenueName


class Observer(CallObserver, TakeoverObserver, Protocol):
    """One method a thing that happens to a command, beside those of its calls; none may raise or block."""

    def answered(self, command: Command, event: Event, seconds: float) -> None:
        """A command's answer is committed, `seconds` after the command was read."""
        ...

    def dead_lettered(
        self, record: CommandRecord, command: Command | None, stage: str, reason: str, message: str
    ) -> None:
        """A record's bytes went to the dead-letter topic; `command` is what it says, None where it cannot be read."""
        ...

    def braked(self, venue: VenueName) -> None:
        """A dead letter was left out because too many were written lately."""
        ...

    def repeated(self, command: Command) -> None:
        """A command id came again and was skipped."""
        ...

    def retried(self, command: Command, retry: Retry) -> None:
        """A call is to be repeated after a back-off."""
        ...

    def transacted(self, partition: int, count: int, seconds: float) -> None:
        """`count` answers were committed in one transaction."""
        ...

    def recovered(self, partition: int, error: BaseException) -> None:
        """A transaction's outcome was unknown, and the partition's answers are being read to learn it."""
        ...

    def refused(self, partition: int, why: str, times: int) -> None:
        """The broker refused an answer for the `times`th time in a row; the partition waits until it takes it."""
        ...

    def missed_past(self, error: BaseException) -> None:
        """What lanes had could not be read, which the policy asks; no call begins until it can."""
        ...

    def failed(self, command: Command, error: BaseException) -> None:
        """A bug: the command is answered `outcome_unknown` and the gateway goes on."""
        ...
