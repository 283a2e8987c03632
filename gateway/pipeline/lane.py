"""One lane as a pure machine: facts go in, and `next` says the one step that is wanted now.

No await, no clock, no future, no task, no callback: `serve` does the steps and reports what came of them. Everything
that decides what a lane may do stands here, as rules in order; the number behind each is the promise that it keeps.

```
admit ──▶ waiting ──Obtain──▶ in line ──obtained──▶ permitted ──Send──▶ at the venue ──sent──▶ verdict ──Tell──▶ told
             │ ▲                                                            │  ▲                              │
   superseded│ └──────────────── again, after a pause ◀─────────────────────┘  │found               committed  ▼
             ▼                                                                 Look ◀── doubt         in the log
            Tell
```
A command is sent only when every older one of its lane has its answer in the log, superseded ones too: a crash in
between would let the next owner repeat an older value after a newer one. So of what a predecessor left in a lane only
the oldest may have been sent.
"""

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Literal, NamedTuple

from gateway.outcomes import Ambiguous, Applied, Outcome, Refusal, Unavailable
from gateway.pipeline.again import TRANSIENT, Again
from gateway.pipeline.command import Command
from gateway.pipeline.steps import GiveUp, Late, Look, Obtain, Rest, Retry, Send, Step, Tell, Verdict
from schemas.targets import LaneKey

GIVING_WAY = 0.05  # seconds; a few commits
STALE_PERMIT = 1.0  # seconds; a commit takes a hundredth of it, unless the broker is in trouble
BUG = "an error inside the gateway; see its log"
NOT_SENT = Unavailable(
    message="not sent: this instance was not sure to have the partition still, or could not read the venue's clock"
)


class LanePolicy(NamedTuple):
    """What a venue's settings say of its lanes; seconds."""

    latest_wins: bool
    settles_within: float
    again: Again


class _Waiting:
    """A command in its lane, and what became of it so far.

    Attributes:
        attempts: calls made for it, by us.
        tries: outcomes judged, those of calls that were not sent too.
        is_doubtful: a call for it may have been applied, ours or a predecessor's, and nothing since has cleared it.
        is_unserved: the last call was not carried out, or nobody knows.
        has_looked: the venue was asked since the last call, and did not tell.
        not_before: when it may be tried again.
        verdict: what will be told of it.
    """

    __slots__ = (
        "attempts",
        "command",
        "has_looked",
        "is_doubtful",
        "is_unserved",
        "not_before",
        "tries",
        "verdict",
    )

    def __init__(self, command: Command, *, is_doubtful: bool) -> None:
        self.command = command
        self.attempts = 0
        self.tries = 0
        self.is_doubtful = is_doubtful
        self.is_unserved = False
        self.has_looked = False
        self.not_before = -inf
        self.verdict: Verdict | None = None


class Lane:
    """One lane of one partition.

    Attributes:
        key: venue, account and lane.
        quiet_at: monotonic seconds from which on no call made earlier can take effect.
    """

    __slots__ = (
        "_doing",
        "_has_met",
        "_held_up_at",
        "_line",
        "_permit_at",
        "_place",
        "_policy",
        "_receipts",
        "_rest",
        "_unwritten",
        "key",
        "quiet_at",
    )

    def __init__(self, key: LaneKey, policy: LanePolicy) -> None:
        self.key = key
        self.quiet_at = -inf
        self._policy = policy
        self._line: deque[_Waiting] = deque()
        self._receipts: deque[Tell] = deque()
        self._unwritten: set[int] = set()
        self._doing: Send | Look | None = None
        self._place: Literal["none", "line", "permit"] = "none"
        self._permit_at = inf
        self._held_up_at = -inf
        self._has_met = False
        self._rest = Rest(inf, "nothing")

    # What is asked of it.

    @property
    def is_idle(self) -> bool:
        """Whether nothing is owed to anybody: the lane can be forgotten once it is quiet."""
        return not (self._line or self._receipts or self._unwritten or self._doing)

    @property
    def is_busy(self) -> bool:
        """Whether something of it is at the venue, or only has to be told."""
        return bool(self._doing or self._receipts or (self._line and self._line[0].verdict is not None))

    def is_quiet(self, now: float) -> bool:
        """Whether no call of it is under way, or of unknown outcome."""
        return self._doing is None and self.quiet_at <= now and not any(one.is_doubtful for one in self._line)

    @property
    def rest(self) -> Rest:
        """What it waits for."""
        return Rest(inf, "a call") if self._doing else self._rest

    @property
    def commands(self) -> int:
        """Commands without an answer."""
        return len(self._line)

    @property
    def length(self) -> int:
        """Commands that wait behind the one in hand."""
        return len(self._line) - (self._doing is not None)

    # Facts.

    def admit(self, command: Command, *, is_inherited: bool = False) -> None:
        """A command came; of those that a predecessor may have sent, it has sent the oldest only."""
        self._line.append(_Waiting(command, is_doubtful=is_inherited and not self._has_met))
        self._has_met = True

    def rest_until(self, quiet_at: float) -> None:
        """A call that others made may take effect until then."""
        self.quiet_at = max(self.quiet_at, quiet_at)

    def answered(self, offset: int) -> None:
        """A command of the lane got its answer elsewhere, which is not in the log yet."""
        self._unwritten.add(offset)

    def committed(self, offset: int) -> None:
        """The answer is in the log."""
        self._unwritten.discard(offset)

    def in_line(self) -> None:
        """A permit is on its way."""
        self._place, self._held_up_at = "line", -inf

    def obtained(self, now: float) -> None:
        """A permit is here."""
        self._place, self._permit_at = "permit", now

    def left(self) -> None:
        """Neither permit nor place in line are left."""
        self._place, self._permit_at = "none", inf

    def has_no_chance(self) -> None:
        """Who would go next cannot go in time."""
        self._end_call().verdict = Late()

    def refused(self, refusal: Refusal) -> None:
        """Who would go next may not go at all."""
        self._end_call().verdict = refusal

    def asked(self) -> None:
        """The venue was asked what the lane has, before a call; the head waits for its turn again."""
        self._end_call()

    def forbid(self, judge: Callable[[Command, bool], Refusal | None]) -> None:
        """Something else is allowed from now on: who waits and is not, by `judge`, is told so.

        What may have been applied stays: it is looked at first. `judge` is told whether a command goes next.
        """
        for place, one in enumerate(list(self._line)):
            is_first = place == 0
            if (is_first and self._doing) or one.is_doubtful or one.verdict is not None:
                continue
            refusal = judge(one.command, is_first)
            if refusal is not None:
                self._line.remove(one)
                self._unwritten.add(one.command.offset)
                self._receipts.append(Tell(one.command, refusal, one.attempts, is_unserved=one.is_unserved))

    def sent(self, outcome: Outcome | None, *, begun: float, now: float, is_expired: bool) -> Retry | None:
        """What the call came to, None where it was not made any more; whether it is made again.

        `is_expired`: the command's own date is past by now, so what never was on the wire is late.
        """
        head = self._end_call()
        if is_expired and not head.attempts and _was_not_sent(outcome):
            head.verdict = Late()
            return None
        if outcome is None:
            return self._judge(head, NOT_SENT, now)
        head.attempts += 1
        head.is_unserved = isinstance(outcome, Ambiguous | Unavailable)
        head.has_looked = False
        if isinstance(outcome, Ambiguous):
            head.is_doubtful = True
            self.rest_until(begun + self._policy.settles_within)
        return self._judge(head, outcome, now)

    def broke(self, *, begun: float) -> None:
        """A bug ended the step; what was on the wire by then is not known."""
        head = self._line[0]
        if self._doing:
            self._end_call()
            head.attempts += 1
            head.has_looked, head.is_doubtful = False, True
            self.rest_until(begun + self._policy.settles_within)
        head.verdict = Refusal(reason="outcome_unknown", message=BUG)

    def found(self, value: Applied | None) -> None:
        """What the venue has now that nothing can change it any more; None where it did not tell."""
        head, self._doing = self._line[0], None
        head.has_looked = True
        if value is None:
            return
        head.is_doubtful = False
        if value.leverage == head.command.leverage:
            head.verdict = value
        elif isinstance(head.verdict, Ambiguous):
            head.verdict = Unavailable(message=f"not applied: the venue has {value.leverage}")

    # What is wanted: the rules.

    def next(self, now: float, *, may_call: bool) -> Step:
        """The one step that is wanted now; `may_call`: whether this instance may start a call that sets a value."""
        step = self._next(now, may_call=may_call)
        if isinstance(step, Rest):
            self._rest = step
        return step

    def _next(self, now: float, *, may_call: bool) -> Step:
        if not self._doing:
            self._supersede(now)
        if self._receipts:
            return self._receipts.popleft()  # latest wins, and who does not is told                promise 3
        if self._doing:
            return Rest(inf, "a call")  # one thing at a time                                       promise 2
        step = self._wanted(now, may_call=may_call)
        if self._place != "none" and not self._keeps_place(step, now):
            return GiveUp()  # what is not used is somebody else's                                  promise 5
        if isinstance(step, Tell):
            self._line.popleft()
            self._unwritten.add(step.command.offset)
        elif isinstance(step, Send | Look):
            self._doing, self._held_up_at = step, -inf
        return step

    def _wanted(self, now: float, *, may_call: bool) -> Step:
        if now < self.quiet_at:
            return Rest(self.quiet_at, "quiet")  # nothing while a call may still take effect       promises 2, 8
        if not self._line:
            return Rest(inf, "nothing")
        head = self._line[0]
        if head.is_doubtful and not head.has_looked and self._is_worth_a_look(head):
            return Look(head.command)  # doubt is looked at before anything is told                 promise 8
        if head.verdict is None and now >= head.command.deadline:
            head.verdict = Late()  # too late is told, never sent                                   promise 6
            return self._wanted(now, may_call=may_call)
        if head.verdict is not None:
            return Tell(head.command, head.verdict, head.attempts, head.is_doubtful, head.is_unserved)
        return self._on_its_way(head, now, may_call=may_call)

    def _on_its_way(self, head: _Waiting, now: float, *, may_call: bool) -> Step:
        if self._has_older_unwritten(head):
            return self._wait_for_the_log(head, now)  # older answers are in the log first          promises 1, 2
        if now < head.not_before:
            return Rest(min(head.not_before, head.command.deadline), "back-off")
        if not may_call:
            return Rest(head.command.deadline, "lease")  # who is not sure to own it calls nobody   promise 7
        if self._place == "none":
            return Obtain(head.command)  # within budget                                            promise 4
        return Send(head.command) if self._place == "permit" else Rest(head.command.deadline, "permit")

    # Inside.

    def _keeps_place(self, step: Step, now: float) -> bool:
        if isinstance(step, Rest) and step.reason == "older answers":
            return now < self._permit_at + STALE_PERMIT
        return isinstance(step, Send) or (isinstance(step, Rest) and step.reason == "permit")

    def _wait_for_the_log(self, head: _Waiting, now: float) -> Rest:
        if self._place != "line" and now > self._held_up_at + STALE_PERMIT:
            self._held_up_at = now
        return Rest(min(head.command.deadline, self._permit_at + STALE_PERMIT), "older answers")

    def _gives_way(self, now: float) -> bool:
        """Whether a newer one takes the head's place: not, for a moment, once that has given way for a while.

        So a lane with a newer command every other moment is served, and one whose log is out of reach is not held to
        what nobody wants any more.
        """
        return not self._held_up_at + GIVING_WAY < now <= self._held_up_at + STALE_PERMIT

    def _has_older_unwritten(self, head: _Waiting) -> bool:
        return bool(self._unwritten) and min(self._unwritten) < head.command.offset

    def _is_worth_a_look(self, head: _Waiting) -> bool:
        """Not where it is sent again anyway, as only a predecessor may have."""
        is_overtaken = self._policy.latest_wins and len(self._line) > 1
        return head.verdict is not None or head.attempts > 0 or is_overtaken

    def _supersede(self, now: float) -> None:
        """Leave the newest, and what may have been applied."""
        if not self._policy.latest_wins or len(self._line) <= 1:
            return
        *older, newest = self._line
        stays = None if self._gives_way(now) else older[0]
        self._line = deque()
        message = f"a newer command for {self.key[2]} came before this one was sent"
        refusal = Refusal(reason="superseded", message=message, superseded_by=newest.command.command.command_id)
        for one in older:
            if one.is_doubtful or one.verdict is not None or one is stays:
                self._line.append(one)
            else:
                self._unwritten.add(one.command.offset)
                self._receipts.append(Tell(one.command, refusal, one.attempts))
        self._line.append(newest)

    def _end_call(self) -> _Waiting:
        self._doing = None
        self.left()
        return self._line[0]

    def _judge(self, head: _Waiting, outcome: Outcome, now: float) -> Retry | None:
        """Again, or that was the last word on it."""
        head.tries += 1
        if isinstance(outcome, Applied):
            head.is_doubtful = False
        elif isinstance(outcome, TRANSIENT):
            left = head.command.deadline - now
            pause = self._policy.again.after(outcome, tries=head.tries, attempts=head.attempts, left=left)
            if pause is not None:
                head.not_before = now + pause
                return Retry(outcome, head.attempts, pause)
        head.verdict = outcome
        return None


def _was_not_sent(outcome: Outcome | None) -> bool:
    """Whether nothing of the call went on the wire: a venue's own no has a status."""
    return outcome is None or (isinstance(outcome, Unavailable) and outcome.http_status is None)
