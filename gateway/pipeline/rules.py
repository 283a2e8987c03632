"""The rules of a command that need no record around it: asked by the intake, and in the same words by the edge."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from gateway.outcomes import Refusal
from gateway.venues.venue import Venue
from schemas import SetLeverage, VenueName
from schemas.targets import venue_of


class Deadline(Struct, frozen=True):
    """How long a command without `expires_at` may take, and from when that counts."""

    seconds: float
    counts_from: Literal["issued", "read"] = "issued"


class CommandRules:
    """What is asked of every command."""

    def __init__(self, venues: Mapping[VenueName, Venue], deadlines: Mapping[VenueName, Deadline]) -> None:
        """`deadlines`: for commands without `expires_at`."""
        self._venues = venues
        self._deadlines = deadlines

    def broken(self, command: SetLeverage) -> Refusal | None:
        """The refusal for a command that breaks a rule of its venue; None for one that breaks none."""
        rule = self._venues[venue_of(command.target)].broken_rule(command)
        return Refusal(reason="invalid", message=rule) if rule else None

    def seconds_left(self, command: SetLeverage, *, now: float, recorded_ms: int = -1) -> float:
        """How long a command may still take; not above zero where it is too late.

        Args:
            command: what was asked.
            now: the venue's time, in wall seconds.
            recorded_ms: the timestamp of its record; -1 says nothing.
        """
        if command.expires_at is not None:
            return command.expires_at.timestamp() - now
        deadline = self._deadlines[venue_of(command.target)]
        since = 0.0 if deadline.counts_from == "read" else now - _issued(command, now, recorded_ms)
        return deadline.seconds - since

    def late(self, command: SetLeverage) -> Refusal:
        """The refusal for a command that has no time left."""
        if command.expires_at is not None:
            return Refusal(reason="expired", message=f"expired at {command.expires_at}, before it was read")
        seconds = self._deadlines[venue_of(command.target)].seconds
        message = f"it was issued more than its venue's deadline of {seconds:g} s before it was read"
        return Refusal(reason="expired", message=message)


def _issued(command: SetLeverage, now: float, recorded_ms: int) -> float:
    """When the command was issued, in wall seconds: the earliest of what is said, and no later than now.

    A record's timestamp of -1 says nothing, and one of the future is a wrong clock's.
    """
    said = [now]
    if command.issued_at is not None:
        said.append(command.issued_at.timestamp())
    if recorded_ms >= 0:
        said.append(recorded_ms / 1000)
    return min(said)
