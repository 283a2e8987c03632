"""What the pipeline asks: may this command wait, may its call begin now. One guard a process, one past a partition.

A call begins only while the policy is known to be current: the follower keeps asking where the topic ends, and what it
asked less than `FRESH_FOR` ago, and has read up to there, holds. So a process that was stopped and wakes up makes no
call before it has looked. Where the topic is lost, the follower says so after `LOST_AFTER` of trying; then calls go on
by what is known, for `freeze_after` seconds, and then none begins.
"""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from math import inf
from typing import Protocol

from gateway.clock import Clock
from gateway.outcomes import Refusal
from gateway.policy.board import Ruling
from gateway.policy.decide import Breach, Question, breaches, count, retry_at
from gateway.policy.freezes import Stop, breach_of, is_within
from gateway.policy.history import CommandTimes, LaneHistory, command_of_event, lane_of_event
from gateway.policy.index import RuleIndex
from schemas import Event, LeverageChanged, Scope, SetLeverage
from schemas.targets import LaneKey, lane_of

FRESH_FOR = 0.7  # seconds; with what a look takes, a freeze holds within a second
LOST_AFTER = 3.0  # seconds of failed looks
UNCOUNTED = frozenset({"policy", "invalid", "unknown_account"})  # reasons of commands that no rule let through
Judgement = tuple[list[Breach], bool]
ReadPast = Callable[[float, Callable[[Event, bool], None]], Awaitable[None]]
"""Tells each event since a moment, in wall seconds, oldest first; then, with True, the last of each lane."""
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


class PolicyGuard:
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


class Untold:
    """The answer where only the lane's present value can tell, and nobody has told it: the venue should be asked."""

    def __init__(self, told: Callable[[Decimal], None], refuse: Callable[[], Refusal]) -> None:
        self.told = told
        self.refuse = refuse


class PartitionGuard:
    """Judges one partition's commands, by what its lanes have had."""

    def __init__(self, guard: PolicyGuard, clock: Clock, observer: GuardObserver) -> None:
        self._guard = guard
        self._clock = clock
        self._observer = observer
        self._past = Past()
        self._learning: Past | None = None
        self._learning_horizon = 0.0
        self._told_horizon = -1.0

    @property
    def may_call(self) -> bool:
        """Whether a call may begin: the policy is known to be current, and all of the past that it asks about."""
        return self._guard.may_call and self._learning is None and not self.needs_past

    @property
    def needs_past(self) -> bool:
        """Whether the policy asks about more of the past than was learned."""
        return self._guard.ruling.asks_past and self._told_horizon < self._guard.ruling.horizon

    def begin_learning(self) -> float:
        """Have the past told anew, by `replay`; from when on, in wall seconds."""
        self._learning = Past()
        self._learning_horizon = self._guard.ruling.horizon
        return self._clock.wall() - self._learning_horizon

    def replay(self, event: Event, is_last: bool) -> None:  # noqa: FBT001 - as `ReadPast` tells it
        """Take an event of the past, oldest first; `is_last`: as the state topic has it."""
        if self._learning is not None:
            self._learning.replay(event, self._guard.ruling, is_last=is_last)

    def end_learning(self) -> None:
        """All was told; what was learned meanwhile comes after it."""
        learned, self._learning = self._learning, None
        if learned is not None:
            learned.go_on_from(self._past)
            self._past, self._told_horizon = learned, self._learning_horizon

    def learn(self, lane: LaneKey, value: Decimal, at: float) -> None:
        """A lane has a value since `at`, in wall seconds: its answer is committed."""
        self._past.history.learn(lane, value, at)

    def admit(self, command: SetLeverage, *, is_first: bool) -> Refusal | None:
        """Why a command that was read just now is refused at once.

        `is_first`: nothing of its lane is under way, so that what the lane has is what it is judged by; else that
        is left to `verdict`, before its call.
        """
        candidate = self._guard.ruling.candidate
        if candidate is not None:
            self._try(candidate, command, is_first=is_first)
        refusal = self._refusal_of(self._judge(command, is_new=True, is_first=is_first), command)
        if refusal is None:
            self._observer.allowed(command)
        return refusal

    def again(self, command: SetLeverage, *, is_first: bool) -> Refusal | None:
        """Why a command that waits is refused now that something else holds."""
        return self._refusal_of(self._judge(command, is_new=False, is_first=is_first), command)

    def verdict(self, command: SetLeverage) -> Refusal | Untold | None:
        """Why no call may begin for a command that goes next."""
        found, is_untold = self._judge(command, is_new=False, is_first=True)
        if found or not is_untold:
            return self._refusal_of((found, is_untold), command)
        lane = lane_of(command.account, command.target)
        message = "what the lane has is not known, nor does the venue tell; it may only be lowered, or in steps"
        return Untold(
            told=lambda value: self._past.history.observe(lane, value, self._clock.wall()),
            refuse=lambda: self._denied(command, self._refusal([Breach("lane-value", message)])),
        )

    def allows(self, command: SetLeverage) -> bool:
        """Whether a call that is about to go on the wire still may: the same as `verdict`, without counting it."""
        found, is_untold = self._judge(command, is_new=False, is_first=True)
        return not found and not is_untold

    def _refusal_of(self, judged: Judgement, command: SetLeverage) -> Refusal | None:
        return self._denied(command, self._refusal(judged[0])) if judged[0] else None

    def _denied(self, command: SetLeverage, refusal: Refusal) -> Refusal:
        self._observer.denied(command, refusal)
        return refusal

    def _try(self, candidate: RuleIndex, command: SetLeverage, *, is_first: bool) -> None:
        met = candidate.met(command)
        asked = Question(met.lane(command.account), command.leverage, self._clock.wall(), is_first=is_first)
        found, _ = breaches(met, asked, self._past.history, self._past.shadow_times)
        if found:
            self._observer.shadow_denied(command, self._refusal(found, candidate.book.version))
        else:
            count(met, asked, self._past.shadow_times)

    def _judge(self, command: SetLeverage, *, is_new: bool, is_first: bool) -> Judgement:
        """What a command breaks, and whether something cannot be told."""
        guard = self._guard
        is_stopped = guard.is_lost or guard.ruling.stops
        found, is_untold = self._held_up(command, is_first=is_first) if is_stopped else ([], False)
        policy = guard.ruling.policy
        met = None if policy is None else policy.met(command)
        if met is None or not met.rules:
            return found, is_untold
        past, lane = self._past, met.lane(command.account)
        present = None if met.is_bounds_only else past.history.present(lane)
        if met.lets(command.leverage, present):
            return found, is_untold
        asked = Question(lane, command.leverage, self._clock.wall(), is_new, is_first)
        broken, untold = breaches(met, asked, past.history, past.times)
        found += broken
        if is_new and not found:
            count(met, asked, past.times)
        return found, is_untold or untold

    def _held_up(self, command: SetLeverage, *, is_first: bool) -> Judgement:
        """The stops that hold a command up, and whether one cannot tell."""
        found: list[Breach] = []
        is_untold = False
        for stop in self._guard.stops:
            if not is_within(stop.scope, command):
                continue
            if stop.is_frozen:
                found.append(breach_of(stop))
            elif is_first:
                present = self._past.history.present(lane_of(command.account, command.target))
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


class Past:
    """What the lanes of a partition have had, and when their commands came."""

    def __init__(self) -> None:
        self.history = LaneHistory()
        self.times = CommandTimes()
        self.shadow_times = CommandTimes()

    def replay(self, event: Event, ruling: Ruling, *, is_last: bool) -> None:
        """Take one event in as it happened."""
        at = event.occurred_at.timestamp()
        lane = lane_of_event(event)
        if not is_last and getattr(event, "reason", None) not in UNCOUNTED:
            self._count(event, ruling, lane, at)
        if not isinstance(event, LeverageChanged):
            return
        if not is_last and self.history.present(lane) is None:
            self.history.learn(lane, Decimal(0), -inf)  # what it had before that is not told; the window will forget it
        self.history.learn(lane, event.leverage, at)

    def go_on_from(self, other: "Past") -> None:
        """Take over what another learned later."""
        for lane, value, at in other.history.last():
            self.history.learn(lane, value, at)

    def _count(self, event: Event, ruling: Ruling, lane: LaneKey, at: float) -> None:
        command = command_of_event(event)
        for book, times in ((ruling.policy, self.times), (ruling.candidate, self.shadow_times)):
            if book is not None:
                count(book.met(command), Question(lane, command.leverage, at), times)
