"""The lane as a specification: every interleaving of a small world, each rule taken out once, and walks beyond."""

import inspect
import sys
from itertools import product
from random import Random
from types import ModuleType

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.pipeline import lane as the_lane
from tests.pipeline.lane_world import World, explore

STATES = 2_000  # a world; `python -m tests.pipeline.lane_world` goes as far as one likes
SMALL_TO_LARGE = ((1, STATES), (3, STATES), (3, 5 * STATES))  # commands, states
WORLDS = list(product((False, True), (True, False), (True, False)))

FORBID_EXCEPT = "if (is_first and self._doing) or one.is_doubtful or one.verdict is not None:"
FORBID_RECEIPT = "self._receipts.append(Tell(one.command, refusal, one.attempts, is_unserved=one.is_unserved))"

# What a rule says, its lines and what they become without it, and what breaks then.
RULES = [
    ("one thing at a time", "if self._doing:", "if False:", "two things at once"),
    (
        "nothing is done while a call may still take effect",
        "if now < self.quiet_at:",
        "if False:",
        "overlap",
    ),
    (
        "a call of unknown outcome has its time",
        "self.rest_until(begun + self._policy.settles_within)",
        "pass",
        "answered while its call may still arrive",
    ),
    (
        "a call of unknown outcome leaves doubt",
        "head.is_doubtful = True",
        "pass",
        "told as refused, and it was applied",
    ),
    (
        "what a predecessor may have sent is in doubt",
        "is_doubtful=is_inherited and not self._has_met",
        "is_doubtful=False",
        "told as refused, and it was applied",
    ),
    (
        "the venue is asked before something is told as unknown",
        "if head.is_doubtful and not",
        "if False and not",
        "told as unknown, and nobody looked",
    ),
    (
        "older answers are in the log first",
        "if self._has_older_unwritten(head):",
        "if False:",
        "sent before an older answer is in the log",
    ),
    ("too late is told, never sent", "now >= head.command.deadline:", "False:", "sent late"),
    ("again only after a pause", "if now < head.not_before:", "if False:", "again without a pause"),
    ("who is not sure to own it calls nobody", "if not may_call:", "if False:", "called without the lease"),
    ("within budget", 'if self._place == "permit" else', "if True else", "called without a permit"),
    (
        "what may have been applied gives way to nobody",
        "if one.is_doubtful or one.verdict is not None or one is stays",
        "if one.verdict is not None or one is stays",
        "told as refused, and it was applied",
    ),
    (
        "what is decided gives way to nobody",
        "if one.is_doubtful or one.verdict is not None or one is stays",
        "if one.is_doubtful or one is stays",
        "told as refused, and it was applied",
    ),
    (
        "who does not win is told",
        "self._receipts.append(",
        "str(",
        "forgotten",
    ),
    (
        "a permit is held for a moment only",
        "return now < self._permit_at + STALE_PERMIT",
        "return True",
        "a permit is kept by who does not use it",
    ),
    (
        "what is not used is given up",
        'if self._place != "none" and not self._keeps_place(step, now):',
        "if False:",
        "a permit is kept by who does not use it",
    ),
    (
        "a permit is used once",
        "        self._doing = None\n        self.left()\n",
        "        self._doing = None\n",
        "called without a permit",
    ),
    (
        "who is at the venue gives way to nobody",
        "if not self._doing:\n            self._supersede(now)",
        "self._supersede(now)",
        "told while it is at the venue",
    ),
    (
        "an answer is on its way to the log from when it is told",
        "self._line.popleft()\n            self._unwritten.add(step.command.offset)",
        "self._line.popleft()",
        "sent before an older answer is in the log",
    ),
    (
        "a receipt is on its way to the log from when it is decided",
        "self._unwritten.add(one.command.offset)\n                self._receipts.append(Tell(one.command, refusal, one.attempts))",
        "self._receipts.append(Tell(one.command, refusal, one.attempts))",
        "sent before an older answer is in the log",
    ),
    (
        "what is decided is looked at first, where there is doubt",
        "return head.verdict is not None or head.attempts > 0 or is_overtaken",
        "return head.attempts > 0 or is_overtaken",
        "told as unknown, and nobody looked",
    ),
    (
        "only the value that was asked for is told as changed",
        "if value.leverage == head.command.leverage:",
        "if True:",
        "told as changed, and it is not",
    ),
]

# The same of what seldom happens: a bug, a policy that changes, an answer given elsewhere.
RULES_IN_TROUBLE = [
    (
        "an answer given elsewhere is on its way to the log too",
        "        self._unwritten.add(offset)\n",
        "        pass\n",
        "sent before an older answer is in the log",
    ),
    (
        "a bug in the middle of a call leaves doubt",
        "head.has_looked, head.is_doubtful = False, True",
        "head.has_looked = False",
        "told as unknown, and nobody looked",
    ),
    ("who is not allowed any more is told", FORBID_RECEIPT, "pass", "forgotten"),
    (
        "what may have been applied is not refused by the policy",
        FORBID_EXCEPT,
        "if (is_first and self._doing) or one.verdict is not None:",
        "told as refused, and it was applied",
    ),
    (
        "what is decided is not refused by the policy",
        FORBID_EXCEPT,
        "if (is_first and self._doing) or one.is_doubtful:",
        "told as refused, and it was applied",
    ),
    (
        "who is at the venue is not refused by the policy",
        FORBID_EXCEPT,
        "if one.is_doubtful or one.verdict is not None:",
        "told while it is at the venue",
    ),
]


@pytest.mark.parametrize(("is_troubled", "latest_wins", "is_inherited"), WORLDS)
def test_no_interleaving_breaks_a_promise(is_troubled, latest_wins, is_inherited):
    world = {"latest_wins": latest_wins, "is_inherited": is_inherited, "is_troubled": is_troubled}
    seen, broken = explore(**world, most=STATES)
    assert not broken
    assert seen >= STATES


ALL_RULES = [(False, *row) for row in RULES] + [(True, *row) for row in RULES_IN_TROUBLE]


@pytest.mark.parametrize("row", ALL_RULES, ids=[row[1] for row in ALL_RULES])
def test_without_this_rule_a_promise_breaks(row, monkeypatch):
    is_troubled, says, line, without, damage = row
    source = inspect.getsource(the_lane)
    assert line in source, f"the lane does not say {says!r} in these words any more"
    module = ModuleType("lane_without_a_rule")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(source.replace(line, without), module.__name__, "exec"), module.__dict__)  # noqa: S102 - our own source
    broken = set[str]()
    for (commands, most), latest_wins, is_inherited in product(SMALL_TO_LARGE, (True, False), (True, False)):
        world = {"latest_wins": latest_wins, "is_inherited": is_inherited, "is_troubled": is_troubled}
        broken |= set(explore(module, **world, commands=commands, most=most, stop_at=damage)[1])
        if damage in broken:
            return
    pytest.fail(f"without {says!r}, not {damage!r} but {broken or 'nothing'}")


@pytest.mark.parametrize("seed", range(100))
def test_a_long_walk_breaks_no_promise_and_ends_with_every_command_answered(seed):
    random = Random(seed)
    world = beyond(latest_wins=seed % 4 > 0, is_inherited=seed % 2 > 0)
    for _ in range(600):
        world.do(random.choice(world.moves()))
        assert not world.broken
    world.settle()
    assert len(world.answered) == world.admitted
    assert world.lane.is_idle


def beyond(*, latest_wins: bool, is_inherited: bool) -> World:
    """A world too large to be explored."""
    return World(
        the_lane, latest_wins=latest_wins, is_inherited=is_inherited, is_troubled=True, until=60.0, commands=25
    )


class LaneMachine(RuleBasedStateMachine):
    """The same, chosen by hypothesis, which finds the shortest way to what it breaks."""

    @initialize(latest_wins=st.booleans(), is_inherited=st.booleans())
    def begin(self, latest_wins, is_inherited):
        self.world = beyond(latest_wins=latest_wins, is_inherited=is_inherited)

    @rule(data=st.data())
    def move(self, data):
        self.world.do(data.draw(st.sampled_from(self.world.moves())))

    @invariant()
    def no_promise_is_broken(self):
        assert not hasattr(self, "world") or not self.world.broken

    def teardown(self):
        if hasattr(self, "world"):
            self.world.settle()
            assert len(self.world.answered) == self.world.admitted


TestLane = LaneMachine.TestCase
TestLane.settings = settings(max_examples=50, stateful_step_count=100, deadline=None)
