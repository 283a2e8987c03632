"""What a venue would refuse for sure is refused here, in words that say what would be right; all else is let through."""

import re
from decimal import Decimal

import pytest

from gateway.venues.rules import LARGEST, plain
from schemas import Okx
from tests.venues.asking import TARGETS, VENUES, asked

EVERY = list(VENUES)
BY_SYMBOL = ["binance_usdm", "binance_portfolio", "ztdx"]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    ("leverage", "rule"),
    [
        ("NaN", "finite"),
        ("sNaN", "finite"),
        ("Infinity", "finite"),
        ("-Infinity", "finite"),
        ("0", "above 0"),
        ("-0", "above 0"),
        ("-5", "above 0"),
        ("1000.01", f"at most {LARGEST}"),
        ("1E+999999", f"at most {LARGEST}"),
        ("0.001", "at most 2 decimals"),
        ("1E-999999", "at most 2 decimals"),
        ("5.123456789012345678901234567890", "at most 2 decimals"),
    ],
)
def test_a_number_that_is_no_leverage_anywhere_is_refused_everywhere(name, leverage, rule):
    broken = VENUES[name].broken_rule(asked(name, leverage))
    assert broken is not None
    assert rule in broken
    assert len(broken) < 200


@pytest.mark.parametrize("name", BY_SYMBOL)
@pytest.mark.parametrize("leverage", ["1", "5", "125", "150", "5.0", "5.00", "2E+1", "1000"])
def test_integers_in_any_spelling_are_let_through_for_the_venue_to_judge(name, leverage):
    assert VENUES[name].broken_rule(asked(name, leverage)) is None


@pytest.mark.parametrize("name", ["binance_margin", *BY_SYMBOL])
@pytest.mark.parametrize("leverage", ["5.5", "0.5", "3.01"])
def test_where_the_venue_takes_integers_a_fraction_is_refused(name, leverage):
    assert "integer" in (VENUES[name].broken_rule(asked(name, leverage)) or "")


@pytest.mark.parametrize("leverage", ["3", "5", "10", "20", "1E+1"])
def test_cross_margin_takes_the_four_that_exist(leverage):
    assert VENUES["binance_margin"].broken_rule(asked("binance_margin", leverage)) is None


@pytest.mark.parametrize("leverage", ["1", "2", "4", "6", "15", "21", "125"])
def test_cross_margin_refuses_all_others_and_names_the_four(leverage):
    broken = VENUES["binance_margin"].broken_rule(asked("binance_margin", leverage)) or ""
    assert re.search(r"3, 5, 10 or .*20", broken)


@pytest.mark.parametrize("leverage", ["0.01", "1", "5.5", "5.25", "125"])
def test_okx_takes_two_decimals(leverage):
    assert VENUES["okx"].broken_rule(asked("okx", leverage)) is None


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        (Okx(margin_mode="cross"), "either instrument or currency"),
        (Okx(margin_mode="cross", instrument="BTC-USDT", currency="BTC"), "either instrument or currency"),
        (Okx(margin_mode="isolated", currency="BTC"), "currency goes with margin_mode cross only"),
        (Okx(margin_mode="cross", currency="BTC", position_side="long"), "not with a currency"),
        (Okx(margin_mode="cross", instrument="BTC-USDT-SWAP", position_side="long"), "margin_mode isolated only"),
        (Okx(margin_mode="cross", instrument="BTC-USD-200802", position_side="short"), "margin_mode isolated only"),
        (Okx(margin_mode="isolated", instrument="BTC-USDT", position_side="long"), "futures and swaps only"),
        (Okx(margin_mode="isolated", instrument="BTC-USD-200802-9500-C"), "a pair (BTC-USDT)"),
        (Okx(margin_mode="isolated", instrument="BTC"), "a swap (BTC-USDT-SWAP)"),
        (Okx(margin_mode="isolated", instrument="BTC-USD-20080"), "a future (BTC-USD-200802)"),
    ],
)
def test_okx_fields_that_do_not_go_together_are_refused(target, rule):
    assert rule in (VENUES["okx"].broken_rule(asked(target)) or "")


@pytest.mark.parametrize("kind", ["BTC-USD-200802", "BTC-USDT-SWAP"])
@pytest.mark.parametrize("side", [None, "long", "short"])
def test_whether_a_side_is_needed_only_the_venue_knows(kind, side):
    target = Okx(margin_mode="isolated", instrument=kind, position_side=side)
    assert VENUES["okx"].broken_rule(asked(target)) is None


@pytest.mark.parametrize("name", EVERY)
def test_every_sample_target_is_right_at_its_venue(name):
    assert VENUES[name].broken_rule(asked(name)) is None
    assert VENUES[name].name == name
    assert list(TARGETS) == EVERY


@pytest.mark.parametrize(
    "leverage",
    [
        "1E-1000050",
        "99.99000000000000000000000000000000001",
        "20.0000000000000000000000000000001",
        "20." + "0" * 1_000_000,
        "5." + "0" * 1_000_000 + "1",
    ],
)
def test_what_could_not_be_sent_exactly_as_asked_is_refused(leverage):
    assert VENUES["okx"].broken_rule(asked("okx", leverage))


@pytest.mark.parametrize(
    ("leverage", "written"), [("20.00000000000000000000000000001", None), ("2E+1", "20"), ("5.50", "5.5")]
)
def test_what_is_let_through_is_written_exactly(leverage, written):
    assert (VENUES["okx"].broken_rule(asked("okx", leverage)) is None) == (written is not None)
    assert written is None or plain(Decimal(leverage)) == written
