"""What a lane may want next, and what it calls a command's end: the words between `lane` and its driver, `serve`."""

from typing import Literal, NamedTuple

from msgspec import Struct

from gateway.outcomes import Outcome, Refusal
from gateway.pipeline.command import Command

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


Step = Rest | Obtain | GiveUp | Send | Look | Tell
