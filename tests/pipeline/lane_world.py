"""A small world around one lane, driven through every interleaving: what can happen next, and which promise that breaks.

Three commands, one of them perhaps sent by a predecessor; calls that are applied, refused, cut off and late; a bug in
the middle of one, keys that are refused, a policy that changes or asks first; permits and freezes, commits, answers
given elsewhere, a lease and a clock of whole seconds. `explore` is breadth first, so what it finds is the shortest way there.
"""

import copyreg
import pickle
import sys
from collections import Counter, deque
from decimal import Decimal
from functools import cache
from itertools import product
from types import ModuleType
from typing import Any

from gateway.outcomes import Ambiguous, Applied, Refusal, Rejection, Unavailable
from gateway.pipeline import lane as the_lane
from gateway.pipeline.command import Command
from gateway.pipeline.steps import GiveUp, Late, Look, Obtain, Rest, Send, Step, Tell
from tests.kit.bench import incoming

SETTLES_WITHIN = 2.0
COMMANDS = 3
DEADLINE = 2.0
NOT_ALLOWED = Refusal(reason="policy", message="frozen")
Move = tuple[Any, ...]


@cache
def numbered(number: int) -> Command:
    """A command whose offset, value and id are its number; each has a little longer than the one before."""
    return incoming(number, deadline=DEADLINE + number)


copyreg.pickle(Command, lambda command: (numbered, (command.offset,)))  # pyright: ignore[reportUnknownLambdaType]


class AgainOnce:
    """Two calls a command, a second apart."""

    def after(self, _outcome: object, *, tries: int, attempts: int, left: float) -> float | None:
        return 1.0 if max(tries, attempts) < 2 and left > 1.0 else None


class World:
    """One state: the lane, the venue, the log, and what was seen."""

    def __init__(
        self,
        module: ModuleType,
        *,
        latest_wins: bool,
        is_inherited: bool,
        is_troubled: bool,
        until: float,
        commands: int = COMMANDS,
    ) -> None:
        self.lane = module.Lane(
            ("binance_usdm", "a", "BTCUSDT"), module.LanePolicy(latest_wins, SETTLES_WITHIN, AgainOnce())
        )
        self.is_troubled = is_troubled
        self.until = until
        self.commands = commands
        self.now = 0.0
        self.admitted = 0
        self.value = 0
        self.late: tuple[int, float] | None = None  # the value of a call that was cut off, and until when it may come
        self.applied: set[int] = set()
        self.sent: list[int] = []
        self.answered: set[int] = set()
        self.uncommitted: set[int] = set()
        self.doing: Send | Look | None = None
        self.is_in_line = self.has_permit = False
        self.has_lease = True
        self.has_looked = False
        self.permit_at = self.not_before = 0.0
        self.forbidden: set[int] = set()
        self.broken: str | None = None
        if is_inherited:
            self.late = (1, SETTLES_WITHIN)
            self.lane.rest_until(SETTLES_WITHIN)
            self._admit(is_inherited=True)

    def moves(self) -> list[Move]:
        """All that can happen next; `tick` is last, so that nothing is missed by haste."""
        able: list[Move] = [("drive",)]
        if self.admitted < self.commands:
            able.append(("admit",))
        if self.late:
            able.append(("arrive",))
        able += [("commit", offset) for offset in sorted(self.uncommitted)]
        if self.is_in_line:
            able += [("obtained",), ("no chance",)]
        if isinstance(self.doing, Send) and self.doing.command.offset not in self.forbidden:
            able += [("call", outcome) for outcome in ("applied", "refused", "not served", "cut off", "not sent")]
        if self.is_troubled:
            able += self._troubles()
        if isinstance(self.doing, Look):
            able += [("look", True), ("look", False)]
        if self.now < self.until:
            able += [("lease",), ("tick",)]
        return able

    def _troubles(self) -> list[Move]:
        able: list[Move] = []
        if self.admitted < self.commands:
            able.append(("answered elsewhere",))
        if self.is_in_line:
            able.append(("frozen",))
        if isinstance(self.doing, Send):
            able += [("turned down",), ("asked",)]
            if self.doing.command.offset not in self.forbidden:
                able += [("call", "expired unsent"), ("bug",)]
        if self.admitted > 1 and not self.forbidden:
            able.append(("forbid",))
        return able

    def do(self, move: Move) -> None:  # noqa: C901, PLR0912, PLR0915 - a case a move
        """Let it happen."""
        match move:
            case ("drive",):
                self._drive(self.lane.next(self.now, may_call=self.has_lease))
            case ("admit",):
                self._admit()
            case ("answered elsewhere",):
                self.admitted += 1
                self.answered.add(self.admitted)
                self.uncommitted.add(self.admitted)
                self.lane.answered(self.admitted)
            case ("forbid",):
                self.forbidden = set(range(1, self.admitted + 1))
                self.lane.forbid(lambda _command, _is_first: NOT_ALLOWED)
                while isinstance(step := self.lane.next(self.now, may_call=self.has_lease), Tell | GiveUp):
                    self._drive(step)  # at once, as the driver does: a turn of who is gone must not come
                self._drive(step)
            case ("frozen",):
                self.is_in_line = False
                self.lane.left()
            case ("turned down",):
                self.doing = None
                self.lane.refused(NOT_ALLOWED)
            case ("asked",):
                self.doing = None
                self.lane.asked()
            case ("bug",):
                self.late, self.doing = (self.doing.command.offset, self.now + SETTLES_WITHIN), None
                self.lane.broke(begun=self.now)
                self.has_looked = False
            case ("arrive",):
                assert self.late
                self._apply(self.late[0])
                self.late = None
            case ("commit", offset):
                self.uncommitted.discard(offset)
                self.lane.committed(offset)
            case ("obtained",):
                self.is_in_line, self.has_permit, self.permit_at = False, True, self.now
                self.lane.obtained(self.now)
            case ("no chance",):
                self.is_in_line = False
                self.lane.has_no_chance()
            case ("call", outcome):
                self._end_call(outcome)
            case ("look", is_told):
                self.doing = None
                found = Applied(leverage=Decimal(self.value), certainty="read_back") if is_told else None
                self.lane.found(found)
                self.has_looked = True
            case ("lease",):
                self.has_lease = not self.has_lease
            case _:
                self.now += 1.0
                if self.late and self.now >= self.late[1]:
                    self.late = None

    def settle(self) -> None:
        """Let all that is under way end well, and time go on, until nothing is left to do."""
        self.has_lease = True
        for _ in range(10 * self.commands):
            ends: list[Move] = [("commit", offset) for offset in sorted(self.uncommitted)]
            ends += [("obtained",)] if self.is_in_line else []
            if isinstance(self.doing, Send):
                ends += [("turned down",) if self.doing.command.offset in self.forbidden else ("call", "applied")]
            ends += [("look", True)] if isinstance(self.doing, Look) else []
            for move in [*ends, ("drive",), ("tick",)]:
                self.do(move)

    def _admit(self, *, is_inherited: bool = False) -> None:
        self.admitted += 1
        self.lane.admit(numbered(self.admitted), is_inherited=is_inherited)

    def _apply(self, value: int) -> None:
        self.value = value
        self.applied.add(value)

    def _drive(self, step: Step) -> None:  # noqa: C901 - a case a step
        match step:
            case Obtain():
                self.is_in_line = True
                self.lane.in_line()
            case GiveUp():
                self.is_in_line = self.has_permit = False
                self.lane.left()
            case Send(command):
                self._judge_send(command)
                self.has_permit, self.doing = False, step
            case Look():
                self.broken = "two things at once" if self.doing else None
                self.doing = step
            case Tell():
                self._judge_answer(step)
            case Rest():
                if step.reason == "nothing" and len(self.answered) < self.admitted:
                    self.broken = "forgotten"
                elif self.has_permit and self.now > self.permit_at + 1.0:
                    self.broken = "a permit is kept by who does not use it"

    def _end_call(self, outcome: str) -> None:
        value, self.doing = self.doing.command.offset, None
        self.has_looked = self.has_looked and outcome in {"not sent", "expired unsent"}
        if outcome == "applied":
            self._apply(value)
        elif outcome == "cut off":
            self.late = (value, self.now + SETTLES_WITHIN)
        said = {
            "applied": Applied(),
            "refused": Rejection(message="no"),
            "not served": Unavailable(message="down", http_status=503),
            "cut off": Ambiguous(message="reset"),
            "not sent": None,
            "expired unsent": None,
        }[outcome]
        retry = self.lane.sent(said, begun=self.now, now=self.now, is_expired=outcome == "expired unsent")
        self.not_before = 0.0 if retry is None else self.now + retry.seconds

    def _judge_send(self, command: Command) -> None:  # noqa: C901 - a line a promise
        if self.doing:
            self.broken = "two things at once"
        elif self.late:
            self.broken = "overlap"
        elif any(offset < command.offset for offset in self.uncommitted):
            self.broken = "sent before an older answer is in the log"
        elif self.sent and command.offset < self.sent[-1]:
            self.broken = "calls backwards"
        elif command.offset in self.answered:
            self.broken = "sent after its answer"
        elif self.sent and command.offset == self.sent[-1] and self.now < self.not_before:
            self.broken = "again without a pause"
        elif self.now >= command.deadline:
            self.broken = "sent late"
        elif not self.has_lease:
            self.broken = "called without the lease"
        elif not self.has_permit:
            self.broken = "called without a permit"
        self.sent.append(command.offset)

    def _judge_answer(self, tell: Tell) -> None:  # noqa: C901 - a line a promise
        offset, verdict = tell.command.offset, tell.verdict
        is_unknown = tell.is_doubtful or (isinstance(verdict, Refusal) and verdict.reason == "outcome_unknown")
        if offset in self.answered:
            self.broken = "answered twice"
        elif self.doing and self.doing.command.offset == offset:
            self.broken = "told while it is at the venue"
        elif self.late and self.late[0] == offset:
            self.broken = "answered while its call may still arrive"
        elif is_unknown and not self.has_looked:
            self.broken = "told as unknown, and nobody looked"
        elif isinstance(verdict, Applied) and self.value != offset:
            self.broken = "told as changed, and it is not"
        elif not isinstance(verdict, Applied) and not tell.is_doubtful and offset in self.applied:
            self.broken = "told as refused, and it was applied"
        elif isinstance(verdict, Refusal) and verdict.superseded_by and int(verdict.superseded_by[1:]) <= offset:
            self.broken = "superseded by an older one"
        elif any(older not in self.answered for older in range(1, offset)) and isinstance(verdict, Applied):
            self.broken = "an older command is passed"
        elif isinstance(verdict, Late) and self.has_permit:
            self.broken = "a permit is kept by who does not use it"
        self.answered.add(offset)
        self.uncommitted.add(offset)


def explore(
    module: ModuleType = the_lane,
    *,
    latest_wins: bool = True,
    is_inherited: bool = False,
    is_troubled: bool = True,
    until: float = 5.0,
    commands: int = COMMANDS,
    most: int = 20_000,
    stop_at: str | None = None,
) -> tuple[int, Counter[str]]:
    """How many states were seen, and how often which promise broke; no further once `stop_at` did."""
    world = World(
        module,
        latest_wins=latest_wins,
        is_inherited=is_inherited,
        is_troubled=is_troubled,
        until=until,
        commands=commands,
    )
    first = pickle.dumps(world)
    seen, ahead, broken = {first}, deque([first]), Counter[str]()
    while ahead and len(seen) < most and not broken[stop_at or ""]:
        state = ahead.popleft()
        for move in pickle.loads(state).moves():  # noqa: S301 - our own bytes
            world = pickle.loads(state)  # noqa: S301 - our own bytes
            try:
                world.do(move)
            except Exception as error:  # noqa: BLE001 - a machine without one of its rules may do anything
                world.broken = f"fell over: {error}"
            if world.broken:
                broken[world.broken] += 1
                continue
            after = pickle.dumps(world)
            if after not in seen:
                seen.add(after)
                ahead.append(after)
    return len(seen), broken


if __name__ == "__main__":
    bound = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    for wins, inherited, troubled in product((True, False), repeat=3):
        count, found = explore(latest_wins=wins, is_inherited=inherited, is_troubled=troubled, most=bound)
        print(f"{count} states, broken: {dict(found) or 'nothing'}")
