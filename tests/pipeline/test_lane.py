"""The lane as a specification: every interleaving of a small world, each rule taken out once, and walks beyond."""

import inspect
import sys
from random import Random
from types import ModuleType

import pytest

from gateway.pipeline import lane as the_lane
from tests.pipeline.lane_world import World, explore

STATES = 2_000  # a world; `python -m tests.pipeline.lane_world` goes as far as one likes
WORLDS = [(latest_wins, is_inherited) for latest_wins in (True, False) for is_inherited in (True, False)]

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
]


@pytest.mark.parametrize(("latest_wins", "is_inherited"), WORLDS)
def test_no_interleaving_breaks_a_promise(latest_wins, is_inherited):
    seen, broken = explore(latest_wins=latest_wins, is_inherited=is_inherited, most=STATES)
    assert not broken
    assert seen >= STATES


@pytest.mark.parametrize(("rule", "line", "without", "damage"), RULES, ids=[rule[0] for rule in RULES])
def test_without_this_rule_a_promise_breaks(rule, line, without, damage, monkeypatch):
    source = inspect.getsource(the_lane)
    assert line in source, f"the lane does not say {rule!r} in these words any more"
    module = ModuleType("lane_without_a_rule")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(source.replace(line, without), module.__name__, "exec"), module.__dict__)  # noqa: S102 - our own source
    broken = set[str]()
    for latest_wins, is_inherited in WORLDS:
        world = {"latest_wins": latest_wins, "is_inherited": is_inherited}
        broken |= set(explore(module, **world, most=5 * STATES, stop_at=damage)[1])
        if damage in broken:
            return
    pytest.fail(f"without {rule!r}, not {damage!r} but {broken or 'nothing'}")


@pytest.mark.parametrize("seed", range(100))
def test_a_long_walk_breaks_no_promise_and_ends_with_every_command_answered(seed):
    random = Random(seed)
    world = World(the_lane, latest_wins=seed % 4 > 0, is_inherited=seed % 2 > 0, until=60.0, commands=25)
    for _ in range(600):
        world.do(random.choice(world.moves()))
        assert not world.broken
    world.settle()
    assert len(world.answered) == world.admitted
    assert world.lane.is_idle
