"""What a lane may want next, and what it calls a command's end: the words between `lane` and its driver, `serve`."""

from typing import Literal, NamedTuple

from msgspec import Struct

from gateway.outcomes import Outcome, Refusal
from gateway.pipeline.command import Command
from schemas import VenueName

Reason = Literal["nothing", "a call", "quiet", "older answers", "back-off", "lease", "permit"]


class Late(Struct, frozen=True):
    """The verdict on a command that cannot be sent in time; its words depend on what is in the way."""


Verdict = Outcome | Refusal | Late


class Rest(NamedTuple):
    """Nothing before `until`, monotonic seconds, unless a fact comes; and what is waited for."""

    until: float
    reason: Reason


class Obtain(NamedTuple):
    """A permit is wanted for this command. Facts: `in_line`, `obtained`, `has_no_chance`."""

    command: Command


class GiveUp(NamedTuple):
    """The permit, or the place in line for it, is wanted no more. Fact: `left`."""


class Send(NamedTuple):
    """Call the venue. Facts: `sent`, `refused`, `has_no_chance`, `asked`, `broke`."""

    command: Command


class Look(NamedTuple):
    """Read what the venue has. Fact: `found`."""

    command: Command


class Tell(NamedTuple):
    """Say this of a command. Fact: `committed`, once that is in the log."""

    command: Command
    verdict: Verdict
    attempts: int = 0
    is_doubtful: bool = False
    is_unserved: bool = False


class Retry(NamedTuple):
    """A call is made again after so many seconds, as it came to this outcome."""

    outcome: Outcome
    attempts: int
    seconds: float


class LaneWait(Struct, frozen=True, kw_only=True):
    """What one lane waits for: for people who ask why nothing happens.

    Attributes:
        commands: how many have no answer yet.
        reason: as `Rest` has it.
        seconds: until it is looked at again by time alone; None where only a fact changes it.
    """

    venue: VenueName
    account: str
    lane: str
    commands: int
    reason: Reason
    seconds: float | None


Step = Rest | Obtain | GiveUp | Send | Look | Tell
