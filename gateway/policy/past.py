"""A policy tried over events of the past: what it would have refused. `policy test` asks; nothing is changed."""

from decimal import Decimal

from msgspec import Struct

from gateway.policy.decide import Question, breaches, count
from gateway.policy.history import CommandTimes, LaneHistory, command_of_event, lane_of_event
from gateway.policy.index import RuleIndex
from gateway.policy.rules import Rulebook
from schemas import Event, LeverageChanged
from schemas.targets import VenueName, venue_of

UNJUDGED = frozenset({"invalid", "unknown_account"})  # reasons: no policy is asked of such commands


class Judged(Struct, frozen=True):
    """A command that would have been refused, and what became of it."""

    event: Event
    venue: VenueName
    leverage: Decimal
    outcome: str
    broken: tuple[str, ...]


class Counts(Struct):
    """How many commands were judged, would be refused, and of how many it is not known what their lane had."""

    commands: int = 0
    refused: int = 0
    untold: int = 0


class PastJudge:
    """Judges events one after the other; each account's are on one partition, in the order in which they happened."""

    def __init__(self, book: Rulebook, since: float) -> None:
        """`since`: wall seconds; what happened before tells only what lanes had."""
        self._index = RuleIndex(book)
        self._since = since
        self._past = LaneHistory()
        self._times = CommandTimes()
        self.counts = Counts()

    def judge(self, event: Event) -> Judged | None:
        """The command of an event, if it would have been refused."""
        broken = self._broken(event) if event.occurred_at.timestamp() >= self._since else ()
        is_changed = isinstance(event, LeverageChanged)
        if is_changed:
            self._past.learn(lane_of_event(event), event.leverage, event.occurred_at.timestamp())
        if not broken:
            return None
        self.counts.refused += 1
        outcome = "changed" if is_changed else event.reason
        return Judged(event, venue_of(event.target), command_of_event(event).leverage, outcome, broken)

    def _broken(self, event: Event) -> tuple[str, ...]:
        command = command_of_event(event)
        if not command.leverage.is_finite() or getattr(event, "reason", None) in UNJUDGED:
            return ()
        self.counts.commands += 1
        met = self._index.met(command)
        question = Question(lane_of_event(event), command.leverage, event.occurred_at.timestamp())
        found, is_untold = breaches(met, question, self._past, self._times)
        self.counts.untold += is_untold
        if not found:
            count(met, question, self._times)
        return tuple(breach.rule for breach in found)
