"""Conversations with one lane as text: `python -m tests.pipeline.transcript` writes the lane's side of each anew.

A line is a fact that the lane is told, the indented lines under it what it wants then, up to where it waits. What
facts there are, and how they are written, `FACTS` says; `#` begins a remark. Behind `lane`, `fifo` says that none is
superseded, and `free` that permits are there at once.
"""

import shlex
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from pathlib import Path
from random import Random

from gateway.outcomes import Ambiguous, Applied, ClockSkewed, Refusal, Rejection, Throttled, Unavailable
from gateway.pipeline.again import Again
from gateway.pipeline.command import Command
from gateway.pipeline.lane import Lane, LanePolicy
from gateway.pipeline.steps import GiveUp, Late, Look, Obtain, Rest, Send, Step, Tell
from tests.kit.bench import incoming

TEXTS = Path(__file__).parent / "transcripts"
SETTLES_WITHIN = 10.0
DEADLINE = 60.0

OUTCOMES = {
    "applied": Applied(),
    "rejected": Rejection(message="leverage too high", code="-4028"),
    "throttled": Throttled(retry_after=3.0, http_status=429),
    "unavailable": Unavailable(message="503", http_status=503, retry_after=2.0),
    "clock": ClockSkewed(message="timestamp"),
    "cut": Ambiguous(message="connection lost"),
    "unsent": None,
}


@cache
def numbered(number: int, deadline: float) -> Command:
    """A command whose offset, id and leverage are its number."""
    return incoming(number, deadline=deadline)


class Conversation:
    """One lane, its clock and its lease, told facts in words."""

    def __init__(self, *words: str) -> None:
        again = Again(Random(0), max_attempts=3, backoff_base=0.0, backoff_cap=0.0)
        policy = LanePolicy(latest_wins="fifo" not in words, settles_within=SETTLES_WITHIN, again=again)
        self.lane = Lane(("binance_usdm", "desk-1", "BTCUSDT"), policy)
        self.is_free = "free" in words  # permits are there at once
        self.now = 0.0
        self.begun = 0.0
        self.has_lease = True

    def tell(self, fact: str, *words: str) -> list[str]:
        """Tell the lane a fact; what it wants until it waits."""
        FACTS[fact](self, *words)
        said: list[str] = []
        while True:
            step = self.lane.next(self.now, may_call=self.has_lease)
            said.append(_words(step))
            match step:
                case Obtain() if self.is_free:
                    self.lane.obtained(self.now)
                case Obtain():
                    self.lane.in_line()
                case GiveUp():
                    self.lane.left()
                case Send() | Look() | Rest():
                    self.begun = self.now
                    return said
                case Tell():
                    pass

    def admit(self, number: str, *, until: str = str(DEADLINE), is_inherited: bool = False) -> None:
        self.lane.admit(numbered(int(number), float(until)), is_inherited=is_inherited)

    def sent(self, outcome: str, *more: str) -> None:
        self.lane.sent(OUTCOMES[outcome], begun=self.begun, now=self.now, is_expired="expired" in more)

    def found(self, value: str) -> None:
        read = None if value == "nothing" else Applied(leverage=Decimal(value), certainty="read_back")
        self.lane.found(read)

    def at(self, seconds: str) -> None:
        self.now = float(seconds)

    def lease(self, state: str) -> None:
        self.has_lease = state == "back"

    def forbid(self, *numbers: str) -> None:
        refusal = Refusal(reason="policy", message="frozen")
        self.lane.forbid(lambda command, _is_first: refusal if str(command.offset) in numbers else None)


FACTS: dict[str, Callable[..., None]] = {
    "admit": lambda one, number, *until: one.admit(number, **({"until": until[1]} if until else {})),
    "inherit": lambda one, number: one.admit(number, is_inherited=True),
    "quiet-at": lambda one, seconds: one.lane.rest_until(float(seconds)),
    "answered-elsewhere": lambda one, number: one.lane.answered(int(number)),
    "committed": lambda one, number: one.lane.committed(int(number)),
    "permit": lambda one: one.lane.obtained(one.now),
    "frozen": lambda one: one.lane.left(),
    "no-chance": lambda one: one.lane.has_no_chance(),
    "keys-refused": lambda one: one.lane.refused(Refusal(reason="unauthorised", message="the account is stopped")),
    "policy-asked": lambda one: one.lane.asked(),
    "sent": Conversation.sent,
    "found": Conversation.found,
    "bug": lambda one: one.lane.broke(begun=one.begun),
    "forbid": Conversation.forbid,
    "lease": Conversation.lease,
    "at": Conversation.at,
}


def _words(step: Step) -> str:
    match step:
        case Rest(until, reason):
            return f"rest: {reason}" + ("" if until == float("inf") else f", until {until:g}")
        case Obtain(command):
            return f"obtain a permit for {command.offset}"
        case GiveUp():
            return "give the permit up"
        case Send(command):
            return f"send {command.offset}"
        case Look(command):
            return f"look, for {command.offset}"
        case Tell():
            return f"tell {step.command.offset}: {_verdict(step)}"


def _verdict(tell: Tell) -> str:
    doubt = ", in doubt" if tell.is_doubtful else ""
    match tell.verdict:
        case Applied(certainty=certainty):
            return f"changed, {certainty}"
        case Late():
            return "too late" + doubt
        case Refusal(reason="superseded") as refusal:
            return f"superseded by {refusal.superseded_by}"
        case Refusal() as refusal:
            return refusal.reason + doubt
        case verdict:
            return type(verdict).__name__ + doubt


def written(text: str) -> str:
    """The conversation with the lane's side as it is now."""
    lines: list[str] = []
    conversation: Conversation | None = None
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if line.startswith(" "):
            continue
        lines.append(line)
        if words and words[0] == "lane":
            conversation = Conversation(*words[1:])
        elif words:
            assert conversation is not None, "a conversation begins with `lane`"
            lines += [f"    {said}" for said in conversation.tell(*words)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for path in TEXTS.glob("*.txt"):
        path.write_text(written(path.read_text()))
