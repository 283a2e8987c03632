"""What the pipeline asks: may this command wait, may its call begin now. One `Guard` a process, one past a partition.

A call begins only while the policy is known to be current: the follower keeps asking where the topic ends, and what it
asked less than `FRESH_FOR` ago, and has read up to there, holds. So a process that was stopped and wakes up makes no
call before it has looked. Where the topic is lost, the follower says so after `LOST_AFTER` of trying; then calls go on
by what is known, for `freeze_after` seconds, and then none begins.
"""

from collections.abc import Callable
from math import inf
from typing import Literal, Protocol

from gateway.clock import Clock
from gateway.outcomes import Refusal
from gateway.policy.board import Ruling
from gateway.policy.decide import Breach, Question, breaches, count, retry_at
from gateway.policy.freezes import Stop, breach_of, is_within
from gateway.policy.history import CommandTimes, LaneHistory, LaneKey
from gateway.policy.index import RuleIndex
from schemas import Scope, SetLeverage
from schemas.targets import venue_of

FRESH_FOR = 0.7  # seconds; with what a look takes, a freeze holds within a second
LOST_AFTER = 3.0  # seconds of failed looks
UNTOLD: Literal["untold"] = "untold"
"""The answer where only the lane's present value can tell, and nobody has told it."""
_BLIND = Stop(
    name="freeze:policy-unreadable",
    scope=Scope(),
    is_frozen=True,
    told="the policy topic cannot be read, so that nothing may be set until it can",
)


class GuardObserver(Protocol):
    """What is told of decisions; none may raise or block."""

    def allowed(self, command: SetLeverage) -> None:
        """A command may wait for its turn."""
        ...

    def denied(self, command: SetLeverage, refusal: Refusal) -> None:
        """A command is refused."""
        ...

    def shadow_denied(self, command: SetLeverage, refusal: Refusal) -> None:
        """The candidate would refuse a command."""
        ...


class Guard:
    """What rules in this process, and whether that is known to be current.

    Attributes:
        ruling: what the topic said last.
        is_lost: the topic cannot be read; what is known is used.
    """

    def __init__(self, clock: Clock, observer: GuardObserver, *, freeze_after: float) -> None:
        self._clock = clock
        self._observer = observer
        self._freeze_after = freeze_after
        self._as_of = -inf
        self._watchers: list[Callable[[], None]] = []
        self.ruling = Ruling()
        self.is_lost = False

    @property
    def age(self) -> float:
        """Seconds since the policy was known to be current; infinite where it never was."""
        return self._clock.monotonic() - self._as_of

    @property
    def is_blind(self) -> bool:
        """Whether everything is frozen because the topic was not read for too long."""
        return self.is_lost and self.age > self._freeze_after

    @property
    def stops(self) -> tuple[Stop, ...]:
        """All that is stopped now."""
        return (*self.ruling.stops, _BLIND) if self.is_blind else self.ruling.stops

    @property
    def may_call(self) -> bool:
        """Whether what is known of the policy is fresh enough to begin a call by it."""
        return self.is_lost or self.age <= FRESH_FOR

    def rule(self, ruling: Ruling) -> None:
        """Something else holds from now on; who waits is judged anew."""
        self.ruling = ruling
        self.tell()

    def tell(self) -> None:
        """Have everybody look again at what waits."""
        for watcher in self._watchers:
            watcher()

    def confirmed(self, asked_at: float) -> None:
        """All is known that the topic held at `asked_at`, in monotonic seconds."""
        self._as_of = max(self._as_of, asked_at)
        self.is_lost = False

    def watch(self, look: Callable[[], None]) -> Callable[[], None]:
        """Have `look` called whenever something else holds; what is returned ends that."""
        self._watchers.append(look)
        return lambda: self._watchers.remove(look)

    def past(self) -> "PartitionGuard":
        """A new partition's own part."""
        return PartitionGuard(self, self._clock, self._observer)


class PartitionGuard:
    """Judges one partition's commands.

    Attributes:
        history: what its lanes have had; whoever restores the partition fills it.
        is_told: the history is complete, as far as the topics tell.
    """

    def __init__(self, guard: Guard, clock: Clock, observer: GuardObserver) -> None:
        self._guard = guard
        self._clock = clock
        self._observer = observer
        self._times = CommandTimes()
        self._shadow_times = CommandTimes()
        self.history = LaneHistory()
        self.is_told = False

    @property
    def may_call(self) -> bool:
        """Whether a call may begin by what is known of the policy."""
        return self._guard.may_call

    def admit(self, command: SetLeverage, *, is_first: bool) -> Refusal | None:
        """Why a command that was read just now is refused at once.

        `is_first`: nothing of its lane is under way, so that what the lane has is what it is judged by; else that
        is left to `refusal`, before its call.
        """
        ruling = self._guard.ruling
        if ruling.candidate is not None:
            self._try(ruling.candidate, command, is_first=is_first)
        verdict = self._judge(command, is_new=True, is_first=is_first)
        if isinstance(verdict, Refusal):
            self._observer.denied(command, verdict)
            return verdict
        self._observer.allowed(command)
        return None

    def refusal(self, command: SetLeverage) -> Refusal | Literal["untold"] | None:
        """Why no call may begin for a command; "untold" where the venue should be asked what the lane has."""
        return self._judge(command, is_new=False, is_first=True)

    def refused(self, command: SetLeverage) -> Refusal | None:
        """The same where the venue cannot tell: who needs to know the value and does not, refuses."""
        verdict = self.refusal(command)
        if verdict == UNTOLD:
            message = "what the lane has is not known, and only lowering may be allowed"
            verdict = self._refusal([*self._held_up(command, is_first=True)[0], Breach("lane-value", message)])
        if verdict is not None:
            self._observer.denied(command, verdict)
        return verdict

    def _try(self, candidate: RuleIndex, command: SetLeverage, *, is_first: bool) -> None:
        met = candidate.met(command)
        asked = Question(lane_of(command), command.leverage, self._clock.wall(), is_first=is_first)
        found, _ = breaches(met, asked, self.history, self._shadow_times)
        if found:
            self._observer.shadow_denied(command, self._refusal(found, candidate.book.version))
        else:
            count(met, asked, self._shadow_times)

    def _judge(self, command: SetLeverage, *, is_new: bool, is_first: bool) -> Refusal | Literal["untold"] | None:
        guard = self._guard
        is_stopped = guard.is_lost or guard.ruling.stops
        found, is_untold = self._held_up(command, is_first=is_first) if is_stopped else ([], False)
        policy = guard.ruling.policy
        met = None if policy is None else policy.met(command)
        if met is not None and met.rules and not (met.is_bounds_only and met.allows(command.leverage)):
            asked = Question(lane_of(command), command.leverage, self._clock.wall(), is_new, is_first)
            broken, untold = breaches(met, asked, self.history, self._times)
            found += broken
            is_untold = is_untold or untold
            if is_new and not found:
                count(met, asked, self._times)
        if found:
            return self._refusal(found)
        return UNTOLD if is_untold else None

    def _held_up(self, command: SetLeverage, *, is_first: bool) -> tuple[list[Breach], bool]:
        """The stops that hold a command up, and whether one cannot tell."""
        found: list[Breach] = []
        is_untold = False
        for stop in self._guard.stops:
            if not is_within(stop.scope, command):
                continue
            if stop.is_frozen:
                found.append(breach_of(stop))
            elif is_first:
                present = self.history.present(lane_of(command))
                if present is None:
                    is_untold = True
                elif command.leverage > present:
                    found.append(breach_of(stop))
        return found, is_untold

    def _refusal(self, found: list[Breach], version: str | None = None) -> Refusal:
        policy = self._guard.ruling.policy
        ruling = None if policy is None else policy.book.version
        return Refusal(
            reason="policy",
            message="; ".join(f"{breach.message} ({breach.rule})" for breach in found),
            retry_at=retry_at(found),
            policy_version=version or ruling,
            policy_rules=tuple(breach.rule for breach in found),
        )


def lane_of(command: SetLeverage) -> LaneKey:
    """The lane's key."""
    return venue_of(command.target), command.account, command.target.lane
