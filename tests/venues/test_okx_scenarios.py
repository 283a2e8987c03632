"""The eleven scenarios of OKX's set-leverage page, each by its number: what is in the body, what is not, which lane."""

from typing import NamedTuple

import msgspec
import pytest

from schemas import Okx
from tests.venues.asking import VENUES, asked

OKX = VENUES["okx"]


class Scenario(NamedTuple):
    """One of the page's numbered scenarios."""

    number: int
    title: str
    target: Okx
    body: bytes  # the fields of the page's request example
    lane: str


SCENARIOS = [
    Scenario(
        1,
        "MARGIN, isolated, at pairs level",
        Okx(margin_mode="isolated", instrument="BTC-USDT"),
        b'{"instId":"BTC-USDT","lever":"5","mgnMode":"isolated"}',
        "isolated.pair.BTC-USDT",
    ),
    Scenario(
        2,
        "MARGIN, cross, Spot mode with borrowing, at currency level",
        Okx(margin_mode="cross", currency="BTC"),
        b'{"ccy":"BTC","lever":"5","mgnMode":"cross"}',
        "cross.currency.BTC",
    ),
    Scenario(
        3,
        "MARGIN, cross, Futures mode, at pairs level",
        Okx(margin_mode="cross", instrument="BTC-USDT"),
        b'{"instId":"BTC-USDT","lever":"5","mgnMode":"cross"}',
        "cross.pair.BTC-USDT",
    ),
    Scenario(
        4,
        "MARGIN, cross, Multi-currency margin, at currency level",
        Okx(margin_mode="cross", currency="BTC"),
        b'{"ccy":"BTC","lever":"5","mgnMode":"cross"}',
        "cross.currency.BTC",
    ),
    Scenario(
        5,
        "MARGIN, cross, Portfolio margin, at currency level",
        Okx(margin_mode="cross", currency="BTC"),
        b'{"ccy":"BTC","lever":"5","mgnMode":"cross"}',
        "cross.currency.BTC",
    ),
    Scenario(
        6,
        "FUTURES, cross, at underlying level",
        Okx(margin_mode="cross", instrument="BTC-USDT-200802"),
        b'{"instId":"BTC-USDT-200802","lever":"5","mgnMode":"cross"}',
        "cross.underlying.BTC-USDT",
    ),
    Scenario(
        7,
        "FUTURES, isolated, buy/sell, at contract level",
        Okx(margin_mode="isolated", instrument="BTC-USDT-200802"),
        b'{"instId":"BTC-USDT-200802","lever":"5","mgnMode":"isolated"}',
        "isolated.contract.BTC-USDT-200802",
    ),
    Scenario(
        8,
        "FUTURES, isolated, long/short, at contract and position side level",
        Okx(margin_mode="isolated", instrument="BTC-USDT-200802", position_side="long"),
        b'{"instId":"BTC-USDT-200802","lever":"5","posSide":"long","mgnMode":"isolated"}',
        "isolated.contract.BTC-USDT-200802.long",
    ),
    Scenario(
        9,
        "SWAP, cross, at contract level",
        Okx(margin_mode="cross", instrument="BTC-USDT-SWAP"),
        b'{"instId":"BTC-USDT-SWAP","lever":"5","mgnMode":"cross"}',
        "cross.contract.BTC-USDT-SWAP",
    ),
    Scenario(
        10,
        "SWAP, isolated, buy/sell, at contract level",
        Okx(margin_mode="isolated", instrument="BTC-USDT-SWAP"),
        b'{"instId":"BTC-USDT-SWAP","lever":"5","mgnMode":"isolated"}',
        "isolated.contract.BTC-USDT-SWAP",
    ),
    Scenario(
        11,
        "SWAP, isolated, long/short, at contract and position side level",
        Okx(margin_mode="isolated", instrument="BTC-USDT-SWAP", position_side="long"),
        b'{"instId":"BTC-USDT-SWAP","lever":"5","posSide":"long","mgnMode":"isolated"}',
        "isolated.contract.BTC-USDT-SWAP.long",
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: f"scenario-{scenario.number}")
def test_the_call_is_the_pages_example_and_the_lane_is_its_level(scenario):
    command = asked(scenario.target)
    assert OKX.broken_rule(command) is None
    call = OKX.set_leverage(command)
    assert msgspec.json.decode(call.body) == msgspec.json.decode(scenario.body)
    assert (call.method, call.path, call.query) == ("POST", "/api/v5/account/set-leverage", "")
    assert scenario.target.lane == scenario.lane
    assert [(cost.limit, cost.weight) for cost in call.costs] == [("uid_set_leverage", 1)]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: f"scenario-{scenario.number}")
def test_what_does_not_belong_to_a_scenario_is_not_in_its_body(scenario):
    fields = msgspec.json.decode(OKX.set_leverage(asked(scenario.target)).body)
    assert ("ccy" in fields) == (scenario.number in {2, 4, 5})
    assert ("instId" in fields) == (scenario.number not in {2, 4, 5})
    assert ("posSide" in fields) == (scenario.number in {8, 11})
    assert "" not in fields.values()


def test_the_pages_eleven_are_all_here():
    assert [scenario.number for scenario in SCENARIOS] == list(range(1, 12))


def test_two_contracts_of_one_underlying_are_one_lane_under_cross_margin():
    near, far = (Okx(margin_mode="cross", instrument=f"BTC-USD-{date}") for date in ("261225", "270326"))
    assert near.lane == far.lane == "cross.underlying.BTC-USD"


def test_a_read_back_asks_for_what_was_set_and_never_for_a_side():
    queries = {scenario.number: (OKX.read_back(asked(scenario.target))) for scenario in SCENARIOS}
    assert all(call and call.path == "/api/v5/account/leverage-info" for call in queries.values())
    assert queries[2] is not None
    assert queries[2].query == "mgnMode=cross&ccy=BTC"
    assert queries[11] is not None
    assert queries[11].query == "mgnMode=isolated&instId=BTC-USDT-SWAP"
