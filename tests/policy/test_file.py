"""A policy file: everything wrong is told at once, with file, path and what would be right."""

from decimal import Decimal

import pytest

from gateway.policy.file import PolicyFileError, hash_of, read_rulebook, warnings_of
from gateway.policy.rules import matches
from tests.kit.clocks import NOON

WHOLE = """
[rules.majors]
venue = "binance_usdm"
account = "desk-*"
symbol = "BTC*"
issuer = "momentum-*"
maximum = 20
minimum = 1
allowed = [1, 2.5, 20]
step_up = 5
step_up_in_window = 10
window = 3600
cool_down = 600
closed = ["07:55-08:05", "Fri 21:00-Mon 00:00"]
commands_per_hour = 60
"""


def test_a_whole_rule_is_read():
    book = read_rulebook(WHOLE)
    (rule,) = book.rules
    assert (rule.name, rule.venue, rule.issuer) == ("majors", "binance_usdm", "momentum-*")
    assert rule.allowed == (Decimal(1), Decimal("2.5"), Decimal(20))
    assert (rule.window, rule.cool_down, rule.commands_per_hour) == (3600.0, 600.0, 60)
    assert [span.minutes for span in rule.closed] == [10, 51 * 60]
    assert hash_of(WHOLE).startswith(book.version)


def test_an_empty_file_has_no_rules():
    assert read_rulebook("").rules == ()


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("maximum = -1", "rules.r.maximum: expected a number above 0"),
        ("maximum = true", "rules.r.maximum: expected a number above 0"),
        ('maximum = "20"', "rules.r.maximum: expected a number above 0"),
        ("maximum = inf", "rules.r.maximum: expected a number above 0"),
        ("maximum = nan", "rules.r.maximum: expected a number above 0"),
        ("maximun = 20", "rules.r.maximun: no such field; did you mean maximum?"),
        ('venue = "binance"\nmaximum = 1', "rules.r.venue: no such venue; there are binance_margin"),
        ('account = ""\nmaximum = 1', "rules.r.account: expected a text"),
        ("cool_down = 0", "rules.r.cool_down: expected seconds, above 0 and at most 604800"),
        ("cool_down = 9999999", "rules.r.cool_down: expected seconds, above 0 and at most 604800"),
        ("step_up_in_window = 3", "rules.r.window: missing; step_up_in_window and window go together"),
        ("window = 3\nmaximum = 1", "rules.r.step_up_in_window: missing"),
        ("allowed = []", "rules.r.allowed: expected a list, as in [1, 2, 5]"),
        ("allowed = [1, 50]\nmaximum = 20", "rules.r.allowed: 50 is outside of minimum and maximum"),
        ("minimum = 5\nmaximum = 2", "rules.r.minimum: is more than maximum"),
        ('closed = ["22-23"]', 'rules.r.closed: expected "22:00-23:00" for every day'),
        ('closed = ["22:00-25:00"]', "rules.r.closed: expected times from 00:00 to 24:00"),
        ('closed = ["22:00-22:00"]', "rules.r.closed: begins when it ends"),
        ('closed = "22:00-23:00"', "rules.r.closed: expected a list"),
        ("commands_per_hour = 0", "rules.r.commands_per_hour: expected a whole number"),
        ('account = "a"', "rules.r: forbids nothing; add one of maximum"),
    ],
)
def test_a_wrong_field_is_told_with_its_path_and_what_would_be_right(field, said):
    with pytest.raises(PolicyFileError) as told:
        read_rulebook(f"[rules.r]\n{field}\n", "caps.toml")
    assert f"caps.toml: {said}" in str(told.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules = 3", "caps.toml: rules: expected tables"),
        ("[rules]\nr = 3", "caps.toml: rules.r: expected a table"),
        ('[rules."a b"]\nmaximum = 1', "caps.toml: rules.a b: a rule's name is 1 to 64 letters"),
        ("[rule.a]\nmaximum = 1", "caps.toml: rule: no such table"),
        ("[rules.a\n", "caps.toml: not TOML:"),
        ("# " + "x" * 1_000_000, "caps.toml: more than 900000 bytes"),
    ],
)
def test_a_wrong_file_is_told(text, said):
    with pytest.raises(PolicyFileError) as told:
        read_rulebook(text, "caps.toml")
    assert said in str(told.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(PolicyFileError) as told:
        read_rulebook("[rules.a]\nmaximum = 0\nwindow = 0\n[rules.b]\nmaximun = 3\n")
    assert len(told.value.problems) == 3


def test_a_rule_for_one_contract_says_that_its_underlying_is_what_counts():
    book = read_rulebook('[rules.a]\nsymbol = "BTC-USD-200802"\nmaximum = 5\n')
    assert "BTC-USD*" in next(warnings_of(book.rules))


@pytest.mark.parametrize(
    ("pattern", "text", "is_like"),
    [
        ("BTC*", "BTCUSDT", True),
        ("*", "", True),
        ("B?C", "BTC", False),
        ("[a]", "a", False),
        ("a**b", "ab", True),
        ("*x", "x\n", False),
    ],
)
def test_only_the_star_is_special_in_patterns(pattern, text, is_like):
    assert matches(pattern, text) is is_like


def test_hours_may_wrap_over_midnight_and_over_the_week():
    nightly, weekend = read_rulebook('[rules.a]\nclosed = ["23:00-01:00", "Sat 12:00-Mon 06:00"]\n').rules[0].closed
    saturday_noon = NOON + 0.0  # 2026-11-21 is a Saturday
    assert weekend.opens_at(saturday_noon) == saturday_noon + 42 * 3600
    assert weekend.opens_at(saturday_noon - 1) is None
    assert nightly.opens_at(saturday_noon) is None
    assert nightly.opens_at(saturday_noon + 12.5 * 3600) == saturday_noon + 13 * 3600
