"""A lane's verdict in words: what its venue's limits, breaker and clock add when it is told.

Before it, `lane` wants something told; after it, `settle` writes the answer.
"""

from collections.abc import Mapping

from gateway.calls.venue_caller import VenueCaller
from gateway.clock import Clock
from gateway.outcomes import Applied, Refusal
from gateway.pipeline import answers
from gateway.pipeline.answers import Answer
from gateway.pipeline.command import Command
from gateway.pipeline.steps import Late, Tell
from schemas import VenueName

CROWDED = "as many commands wait for it already as there is room for"


class Verdicts:
    """Makes answers of what lanes tell."""

    def __init__(self, *, topic: str, callers: Mapping[VenueName, VenueCaller], clock: Clock) -> None:
        """`topic`: the commands'."""
        self._topic = topic
        self._callers = callers
        self._clock = clock

    def answer(self, tell: Tell) -> Answer:
        """The answer to a command."""
        command, verdict, now = tell.command, tell.verdict, self._clock.wall()
        if isinstance(verdict, Applied):
            return answers.changed(command, verdict, topic=self._topic, now=now, attempts=tell.attempts)
        if isinstance(verdict, Late):
            verdict = self._late(tell)
        if not isinstance(verdict, Refusal):
            return answers.of_outcome(
                command,
                verdict,
                topic=self._topic,
                now=now,
                attempts=tell.attempts,
                is_doubtful=tell.is_doubtful,
                free_at=self._free_at(command),
            )
        if tell.is_doubtful:
            message = f"it may have been applied, and then: {verdict.message}"
            verdict = Refusal(reason="outcome_unknown", message=message, retry_at=verdict.retry_at)
        return answers.of_refusal(command, verdict, topic=self._topic, now=now, attempts=tell.attempts)

    def is_expired(self, command: Command) -> bool:
        """Whether its own date is past, by its venue's clock."""
        expires_at = command.command.expires_at
        return expires_at is not None and expires_at.timestamp() <= self._callers[command.venue].wall()

    def _late(self, tell: Tell) -> Refusal:
        command, now = tell.command, self._clock.wall()
        if self.is_expired(command) and not tell.attempts:
            message = f"expired at {command.command.expires_at}, before it could be sent"
            return Refusal(reason="expired", message=message)
        retry_at = self._free_at(command)
        if tell.is_unserved:
            message = "the venue did not carry it out, and there is no time to try again"
            later = retry_at if retry_at is not None and retry_at > now else None
            return Refusal(reason="venue_unavailable", message=message, retry_at=later)
        left = command.deadline - self._clock.monotonic()
        in_time = left > 0 and retry_at is not None and retry_at - now <= left
        if self._callers[command.venue].is_silent(command.command.account):
            silent = "no answer from the venue until the deadline"
            message = f"the venue does not answer; {CROWDED}" if in_time else silent
            return Refusal(reason="venue_unavailable", message=message, retry_at=retry_at)
        message = f"the venue has us pause; {CROWDED}" if in_time else "no budget before the deadline"
        return Refusal(reason="rate_limited", message=message, retry_at=retry_at)

    def _free_at(self, command: Command) -> float | None:
        """When limits and breaker would let a call like this one go, in wall seconds; None where no window holds it."""
        caller, message = self._callers[command.venue], command.command
        try:
            return self._clock.wall() + caller.estimate(message.account, caller.venue.set_leverage(message))
        except ValueError:
            return None
