"""What the other answers tell: the leverage a lane has, the venue's clock, and what is used of its limits."""

from decimal import Decimal

import pytest

from gateway.outcomes import Ambiguous, Applied, Rejection, Throttled
from schemas import BinanceUsdm, Okx
from tests.venues.asking import VENUES, asked, said

BY_SYMBOL = ["binance_usdm", "binance_portfolio", "ztdx"]
OTHER = {"symbol": "ETHUSDT", "leverage": 3}


def read_back(name, answer, target=None):
    return VENUES[name].classify_read_back(asked(target or name), answer)


@pytest.mark.parametrize("name", BY_SYMBOL)
@pytest.mark.parametrize(
    "body",
    [
        [OTHER, {"symbol": "BTCUSDT", "leverage": 7, "maxNotionalValue": "1000"}],
        [{"symbol": "BTCUSDT", "leverage": "7", "maxNotionalValue": "1000"}],
        {"symbol": "BTCUSDT", "leverage": "7.0", "maxNotionalValue": 1000},
    ],
    ids=["rows", "text", "lone row"],
)
def test_the_symbols_row_tells_what_the_venue_has_whatever_was_asked(name, body):
    found = read_back(name, said(200, body))
    assert found == Applied(leverage=Decimal(7), max_notional=Decimal(1000), certainty="read_back")


@pytest.mark.parametrize("name", [*BY_SYMBOL, "okx"])
@pytest.mark.parametrize("body", [[], [OTHER], {}, None, [1], "x", b"", b"<html>", {"code": "0", "data": []}])
def test_a_read_back_that_tells_nothing_leaves_the_doubt(name, body):
    assert isinstance(read_back(name, said(200, body)), Ambiguous)


@pytest.mark.parametrize(("name", "limit"), [("binance_usdm", "ip_weight"), ("okx", "uid_leverage_info")])
def test_a_read_back_can_be_throttled_too_and_names_its_own_limit(name, limit):
    outcome = read_back(name, said(429, b""))
    assert isinstance(outcome, Throttled)
    assert outcome.limit == limit


def test_cross_margin_has_nothing_to_read_back():
    assert VENUES["binance_margin"].read_back(asked("binance_margin")) is None
    assert isinstance(read_back("binance_margin", said(200, {})), Ambiguous)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("binance_usdm", "/fapi/v1/symbolConfig"),
        ("binance_portfolio", "/papi/v1/um/symbolConfig"),
        ("ztdx", "/fapi/v1/positionRisk"),
    ],
)
def test_a_read_back_asks_for_one_symbol_and_is_signed(name, path):
    call = VENUES[name].read_back(asked(name))
    assert call is not None
    assert (call.method, call.path, call.query) == ("GET", path, "symbol=BTCUSDT")
    assert [(cost.limit, cost.weight) for cost in call.costs] == [("ip_weight", 5)]


SIDES = [
    {"instId": "BTC-USDT-SWAP", "mgnMode": "isolated", "posSide": "short", "lever": "3"},
    {"instId": "BTC-USDT-SWAP", "mgnMode": "isolated", "posSide": "long", "lever": "7.00000000"},
]


def test_okx_tells_both_sides_and_the_commands_own_is_taken():
    found = read_back("okx", said(200, {"code": "0", "msg": "", "data": SIDES}))
    assert found == Applied(leverage=Decimal(7), certainty="read_back")


def test_okx_rows_of_the_other_margin_mode_are_passed_over():
    rows = [{"mgnMode": "isolated", "posSide": "long", "lever": "3"}, {"mgnMode": "cross", "posSide": "", "lever": "9"}]
    target = Okx(margin_mode="cross", instrument="BTC-USDT-SWAP")
    assert read_back("okx", said(200, {"code": "0", "data": rows}), target) == Applied(
        leverage=Decimal(9), certainty="read_back"
    )


def test_where_portfolio_margin_hides_the_leverage_the_read_back_is_refused():
    outcome = read_back("okx", said(400, {"code": "59111", "msg": "no query", "data": []}))
    assert isinstance(outcome, Rejection)
    assert outcome.code == "59111"


# The venue's clock.


@pytest.mark.parametrize("name", ["binance_margin", "binance_usdm", "ztdx"])
def test_the_clock_of_the_binance_form_is_server_time(name):
    venue = VENUES[name]
    assert venue.server_time_ms(said(200, {"serverTime": 1795262400123})) == 1795262400123
    for answer in (said(200, {}), said(200, b""), said(200, {"serverTime": "x"}), said(200, {"serverTime": -1})):
        assert venue.server_time_ms(answer) is None


@pytest.mark.parametrize("name", ["binance_margin", "binance_usdm", "ztdx"])
@pytest.mark.parametrize("value", [True, 10**18, 1.5, None, []])
def test_a_clock_that_tells_no_time_is_not_believed(name, value):
    assert VENUES[name].server_time_ms(said(200, {"serverTime": value})) is None


@pytest.mark.parametrize("name", list(VENUES))
def test_an_error_tells_no_time(name):
    body = {"serverTime": 1795262400123, "code": "0", "data": [{"ts": "1795262400123"}]}
    assert VENUES[name].server_time_ms(said(429, body, Date="Sat, 21 Nov 2026 12:00:00 GMT")) is None


def test_portfolio_margin_has_no_clock_so_the_date_of_its_ping_is_read_to_the_middle_of_the_second():
    venue = VENUES["binance_portfolio"]
    assert venue.server_time().path == "/papi/v1/ping"
    assert venue.server_time_ms(said(200, {}, Date="Sat, 21 Nov 2026 12:00:00 GMT")) == 1795262400500
    assert venue.server_time_ms(said(200, {})) is None
    assert venue.server_time_ms(said(200, {}, Date="yesterday")) is None


def test_the_clock_of_okx_is_text():
    venue = VENUES["okx"]
    assert venue.server_time_ms(said(200, {"code": "0", "data": [{"ts": "1795262400123"}]})) == 1795262400123
    for data in ([], [{}], [{"ts": 1795262400123}], [{"ts": "x"}], [{"ts": "9" * 40}], None):
        assert venue.server_time_ms(said(200, {"code": "0", "data": data})) is None


@pytest.mark.parametrize("name", list(VENUES))
def test_asking_for_the_time_needs_no_key(name):
    call = VENUES[name].server_time()
    assert (call.purpose, call.method, call.body) == ("server_time", "GET", b"")


# Limits: what a call costs, and what the venue says is used.


@pytest.mark.parametrize("name", list(VENUES))
def test_every_cost_is_of_a_limit_that_the_venue_has(name):
    venue, command = VENUES[name], asked(name)
    limits = {limit.name: limit for limit in venue.limits}
    calls = [venue.set_leverage(command), venue.read_back(command), venue.server_time()]
    for cost in (cost for call in calls if call for cost in call.costs):
        assert 0 < cost.weight <= limits[cost.limit].capacity


def test_the_published_limits_are_these():
    found = {
        (name, limit.name): (limit.scope, limit.capacity, limit.window)
        for name, venue in VENUES.items()
        for limit in venue.limits
    }
    assert found == {
        ("binance_margin", "uid_weight"): ("account", 180_000, 60.0),
        ("binance_margin", "ip_calls"): ("ip", 1, 60.0),
        ("binance_usdm", "ip_weight"): ("ip", 2400, 60.0),
        ("binance_portfolio", "ip_weight"): ("ip", 6000, 60.0),
        ("okx", "uid_set_leverage"): ("account", 20, 2.0),
        ("okx", "uid_leverage_info"): ("account", 20, 2.0),
        ("okx", "ip_time"): ("ip", 10, 2.0),
        ("ztdx", "ip_weight"): ("ip", 2400, 60.0),
    }


def test_cross_margin_pays_both_of_its_limits_at_once():
    costs = VENUES["binance_margin"].set_leverage(asked("binance_margin")).costs
    assert [(cost.limit, cost.weight) for cost in costs] == [("uid_weight", 3000), ("ip_calls", 1)]


@pytest.mark.parametrize(
    ("name", "header", "limit"),
    [
        ("binance_margin", "X_SAPI_USED_UID_WEIGHT_1M", "uid_weight"),
        ("binance_usdm", "X_MBX_USED_WEIGHT_1M", "ip_weight"),
        ("binance_portfolio", "x_mbx_used_weight_1m", "ip_weight"),
    ],
)
def test_usage_headers_are_read_in_any_case_and_on_any_status(name, header, limit):
    for status in (200, 400, 429):
        assert VENUES[name].usage(said(status, {}, **{header: "37"})) == ((limit, 37),)


@pytest.mark.parametrize("value", ["", "x", "-1", "1.5", "٣", " "])
def test_a_usage_header_that_is_no_count_tells_nothing(value):
    assert VENUES["binance_usdm"].usage(said(200, {}, X_MBX_USED_WEIGHT_1M=value)) == ()


def test_venues_without_usage_headers_tell_none():
    for name in ("okx", "ztdx"):
        assert VENUES[name].usage(said(200, {}, X_MBX_USED_WEIGHT_1M="37")) == ()


def test_symbols_of_any_script_are_matched_as_they_are():
    target = BinanceUsdm(symbol="测试USDT")
    found = read_back("binance_usdm", said(200, [{"symbol": "测试USDT", "leverage": 4}]), target)
    assert found == Applied(leverage=Decimal(4), certainty="read_back")
