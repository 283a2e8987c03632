"""Lanes as the contract's table has them: what one leverage setting covers at the venue."""

from decimal import Decimal

import pytest

from schemas import BinanceMargin, BinancePortfolio, BinanceUsdm, Okx, SetLeverage, Ztdx
from schemas.targets import instrument_kind, venue_of

# The eleven request examples of OKX's set-leverage page, by its numbers, and the level it says each acts at.
OKX_SCENARIOS = [
    (1, Okx(margin_mode="isolated", instrument="BTC-USDT"), "isolated.pair.BTC-USDT"),
    (2, Okx(margin_mode="cross", currency="BTC"), "cross.currency.BTC"),
    (3, Okx(margin_mode="cross", instrument="BTC-USDT"), "cross.pair.BTC-USDT"),
    (4, Okx(margin_mode="cross", currency="BTC"), "cross.currency.BTC"),
    (5, Okx(margin_mode="cross", currency="BTC"), "cross.currency.BTC"),
    (6, Okx(margin_mode="cross", instrument="BTC-USDT-200802"), "cross.underlying.BTC-USDT"),
    (7, Okx(margin_mode="isolated", instrument="BTC-USDT-200802"), "isolated.contract.BTC-USDT-200802"),
    (
        8,
        Okx(margin_mode="isolated", instrument="BTC-USDT-200802", position_side="long"),
        "isolated.contract.BTC-USDT-200802.long",
    ),
    (9, Okx(margin_mode="cross", instrument="BTC-USDT-SWAP"), "cross.contract.BTC-USDT-SWAP"),
    (10, Okx(margin_mode="isolated", instrument="BTC-USDT-SWAP"), "isolated.contract.BTC-USDT-SWAP"),
    (
        11,
        Okx(margin_mode="isolated", instrument="BTC-USDT-SWAP", position_side="short"),
        "isolated.contract.BTC-USDT-SWAP.short",
    ),
]


@pytest.mark.parametrize(("number", "target", "lane"), OKX_SCENARIOS, ids=lambda value: str(value)[:2])
def test_okx_lanes_are_the_level_the_scenario_names(number, target, lane):
    assert target.lane == lane


@pytest.mark.parametrize(
    ("target", "lane"),
    [
        (BinanceMargin(), "cross-margin"),
        (BinanceUsdm(symbol="BTCUSDT"), "BTCUSDT"),
        (BinancePortfolio(symbol="BTCUSDT"), "BTCUSDT"),
        (Ztdx(symbol="BTCUSDT"), "BTCUSDT"),
        (BinanceUsdm(symbol="测试USDT"), "测试USDT"),
        (Okx(margin_mode="cross", instrument="BTC-USD-200802"), "cross.underlying.BTC-USD"),
    ],
)
def test_a_lane_is_what_the_contract_says(target, lane):
    assert target.lane == lane


def test_two_contracts_of_one_underlying_under_cross_margin_are_one_lane():
    lanes = {Okx(margin_mode="cross", instrument=f"BTC-USD-{day}").lane for day in ("200802", "201225")}
    assert lanes == {"cross.underlying.BTC-USD"}


def test_two_contracts_of_one_underlying_under_isolated_margin_are_two_lanes():
    lanes = {Okx(margin_mode="isolated", instrument=f"BTC-USD-{day}").lane for day in ("200802", "201225")}
    assert len(lanes) == 2


def test_both_position_sides_of_a_contract_are_two_lanes():
    lanes = {
        Okx(margin_mode="isolated", instrument="BTC-USDT-SWAP", position_side=side).lane for side in ("long", "short")
    }
    assert len(lanes) == 2


@pytest.mark.parametrize(
    ("instrument", "kind"),
    [
        ("BTC-USDT", "MARGIN"),
        ("BTC-USD-200802", "FUTURES"),
        ("BTC-USDT-SWAP", "SWAP"),
        ("BTC-USD-200802-40000-C", "OTHER"),
        ("BTC-USD-20080", "OTHER"),
        ("BTC", "OTHER"),
    ],
)
def test_an_okx_instruments_kind_is_told_from_its_spelling(instrument, kind):
    assert instrument_kind(instrument) == kind


@pytest.mark.parametrize(
    ("target", "venue"),
    [
        (BinanceMargin(), "binance_margin"),
        (BinanceUsdm(symbol="X"), "binance_usdm"),
        (BinancePortfolio(symbol="X"), "binance_portfolio"),
        (Okx(margin_mode="cross"), "okx"),
        (Ztdx(symbol="X"), "ztdx"),
    ],
)
def test_a_commands_key_is_its_venue_and_account(target, venue):
    assert venue_of(target) == venue
    command = SetLeverage(command_id="1", account="desk-1", leverage=Decimal(1), target=target)
    assert command.key == f"{venue}:desk-1"
