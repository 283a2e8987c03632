"""The decision: the same as a naive one that was written apart, and the rules that the issue names."""

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.policy.decide import Question, breaches, count, retry_at
from gateway.policy.file import read_rulebook
from gateway.policy.history import CommandTimes, LaneHistory
from gateway.policy.index import RuleIndex
from gateway.policy.loosening import loosened
from schemas import BinanceUsdm, SetLeverage
from tests.kit.clocks import NOON
from tests.policy.oracle import Oracle
from tests.policy.worlds import PATTERNS, as_toml, make_command, make_rules

LANE = ("binance_usdm", "desk-1", "BTCUSDT")


def ask(leverage: object, **more: object) -> SetLeverage:
    return SetLeverage(
        command_id="c", account="desk-1", leverage=Decimal(str(leverage)), target=BinanceUsdm(symbol="BTCUSDT"), **more
    )


class Judge:
    """The gateway's decision, with everything it needs."""

    def __init__(self, text: str) -> None:
        self.index = RuleIndex(read_rulebook(text))
        self.past = LaneHistory()
        self.times = CommandTimes()

    def verdict(self, command: SetLeverage, now: float):
        met = self.index.met(command)
        asked = Question(
            (command.target.__struct_config__.tag, command.account, command.target.lane), command.leverage, now
        )
        found, untold = breaches(met, asked, self.past, self.times)
        if met.lets(command.leverage, self.past.present(asked.lane)):  # the shortcut never says yes where they say no
            assert (found, untold) == ([], False)
        if not found:
            count(met, asked, self.times)
        return {breach.rule for breach in found}, retry_at(found), untold


@pytest.mark.parametrize("block", range(10))
def test_a_thousand_random_policies_and_histories_get_the_verdicts_of_the_naive_oracle(block):
    for seed in range(block * 100, block * 100 + 100):
        random = Random(seed)
        rules = make_rules(random)
        judge, oracle = Judge(as_toml(rules)), Oracle(rules)
        now = NOON + random.uniform(0, 7 * 86400)
        for number in range(40):
            now += random.choice([0.5, 20, 600, 1800, 40_000]) * random.random()
            command, plain = make_command(random, number)
            expected = oracle.verdict(plain, now)
            got = judge.verdict(command, now)
            assert got[0] == expected[0], (seed, number, as_toml(rules))
            assert got[2] == expected[2], (seed, number, as_toml(rules))
            assert got[1] == pytest.approx(expected[1], abs=1e-3), (seed, number, as_toml(rules))
            if not got[0] and random.random() < 0.8:
                judge.past.learn(plain["lane"], command.leverage, now)
                oracle.change(plain["lane"], now, command.leverage)


def story(seed: int, text: str, commands: int = 30):
    """The verdicts of a random story under a file."""
    random = Random(seed)
    judge, now = Judge(text), NOON
    for number in range(commands):
        now += random.choice([0.5, 600, 40_000]) * random.random()
        command, plain = make_command(random, number)
        judge.past.learn(plain["lane"], command.leverage, now - 1) if random.random() < 0.5 else None
        yield judge.verdict(command, now)[0]


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_a_rule_more_never_lets_more_through(seed):
    random = Random(seed)
    rules = {name: rule for name, rule in make_rules(random).items() if "commands_per_hour" not in rule}
    fewer = dict(list(rules.items())[:-1])
    for with_all, with_fewer in zip(story(seed, as_toml(rules)), story(seed, as_toml(fewer)), strict=True):
        assert with_fewer <= with_all


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_the_order_of_rules_does_not_matter(seed):
    rules = make_rules(Random(seed))
    backwards = dict(reversed(rules.items()))
    assert list(story(seed, as_toml(rules))) == list(story(seed, as_toml(backwards)))


def changed(random: Random, rules):
    """The same rules with some numbers and patterns changed, tighter or looser; rates counted otherwise left out."""
    new = {
        name: {key: value for key, value in rule.items() if key != "commands_per_hour"} for name, rule in rules.items()
    }
    for rule in new.values():
        for field, value in list(rule.items()):
            if random.random() < 0.3 and isinstance(value, int | float):
                rule[field] = max(1, int(value * random.choice([0.5, 2])))
            elif random.random() < 0.2 and field in PATTERNS:
                rule[field] = "*"
        rule["maximum"] = max(rule.get("maximum", 100), *rule.get("allowed", [1]), rule.get("minimum", 1))
    return new


def test_a_policy_that_is_said_to_loosen_nothing_lets_nothing_through_that_the_old_one_refused():
    tight = 0
    for seed in range(600):
        random = Random(seed)
        old = changed(random, make_rules(random))
        new = changed(random, old)
        if not loosened(read_rulebook(as_toml(old)).rules, read_rulebook(as_toml(new)).rules):
            tight += 1
            for was, now in zip(story(seed, as_toml(old)), story(seed, as_toml(new)), strict=True):
                assert not was or now
    assert 30 < tight < 500


@pytest.mark.parametrize(
    "limit", ["step_up = 1", "cool_down = 600", 'closed = ["00:00-24:00"]', "step_up_in_window = 1\nwindow = 600"]
)
def test_only_raising_is_refused_by_steps_cool_downs_and_closed_hours(limit):
    judge = Judge(f"[rules.r]\n{limit}\n")
    judge.past.learn(LANE, Decimal(10), NOON)
    assert judge.verdict(ask(20), NOON + 1)[0]
    assert judge.verdict(ask(10), NOON + 1) == (set(), None, False)
    assert judge.verdict(ask(2), NOON + 1) == (set(), None, False)


def test_nothing_is_clamped_and_all_broken_rules_are_named():
    judge = Judge("[rules.a]\nmaximum = 10\n[rules.b]\nallowed = [1, 2]\n[rules.c]\nstep_up = 3\n")
    judge.past.learn(LANE, Decimal(5), NOON)
    broken, at, _ = judge.verdict(ask(20), NOON + 1)
    assert (broken, at) == ({"a.maximum", "b.allowed", "c.step_up"}, None)


def test_time_is_told_only_where_it_cures_everything():
    judge = Judge("[rules.a]\ncool_down = 600\n[rules.b]\nmaximum = 30\n")
    judge.past.learn(LANE, Decimal(5), NOON)
    assert judge.verdict(ask(20), NOON + 1) == ({"a.cool_down"}, NOON + 600, False)
    assert judge.verdict(ask(40), NOON + 1) == ({"a.cool_down", "b.maximum"}, None, False)
    assert judge.verdict(ask(20), NOON + 600) == (set(), None, False)


def test_the_window_forgets_a_low_value_when_it_has_been_gone_for_long_enough():
    judge = Judge("[rules.a]\nstep_up_in_window = 5\nwindow = 100\n")
    for at, value in ((0, 10), (10, 2), (20, 10)):
        judge.past.learn(LANE, Decimal(value), NOON + at)
    assert judge.verdict(ask(12), NOON + 119) == ({"a.step_up_in_window"}, NOON + 120, False)
    assert judge.verdict(ask(12), NOON + 120) == (set(), None, False)
    assert judge.verdict(ask(20), NOON + 120)[1] is None


def test_what_the_lane_has_must_be_told_before_a_step_is_judged():
    judge = Judge("[rules.a]\nstep_up = 5\n")
    assert judge.verdict(ask(3), NOON) == (set(), None, True)
    judge.past.observe(LANE, Decimal(2), NOON)
    assert judge.verdict(ask(3), NOON) == (set(), None, False)


def test_a_value_read_at_the_venue_starts_no_cool_down_where_nobody_knows_since_when_it_is():
    judge = Judge("[rules.a]\ncool_down = 600\n")
    judge.past.observe(LANE, Decimal(2), NOON)
    assert judge.verdict(ask(3), NOON) == (set(), None, False)
    judge.past.observe(LANE, Decimal(4), NOON)
    assert judge.verdict(ask(5), NOON)[0] == {"a.cool_down"}


def test_the_same_value_again_is_no_change():
    past = LaneHistory()
    past.learn(LANE, Decimal(2), NOON)
    past.learn(LANE, Decimal(2), NOON + 50)
    assert past.changed_at(LANE) == NOON


def test_a_rule_of_an_issuer_does_not_meet_who_names_none():
    judge = Judge('[rules.a]\nissuer = "m*"\nmaximum = 5\n')
    assert judge.verdict(ask(20, issuer="mo"), NOON)[0]
    assert not judge.verdict(ask(20), NOON)[0]
    assert not judge.verdict(ask(20, issuer="x"), NOON)[0]


def test_remembered_rules_are_those_of_a_fresh_look():
    random = Random(7)
    index = RuleIndex(read_rulebook(as_toml(make_rules(random))))
    for number in range(200):
        command, _ = make_command(random, number)
        assert index.met(command) is index.met(replace(command, command_id="other"))
        assert set(index.met(command).rules) == {
            rule for rule in index.book.rules if rule.meets(command, command.target.__struct_config__.tag)
        }
