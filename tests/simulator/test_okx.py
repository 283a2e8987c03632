"""OKX refuses what the real one refuses, by header, by field, and by what the account's modes allow."""

import json
from typing import Any

import pytest

from tests.simulator.by_hand import KEY, PATHS, SWAP, Caller


def fields(instrument: str = "", mode: str = "", *, ccy: str = "", side: str = "", lever: str = "5") -> dict[str, str]:
    """Empty ones are sent as well, as python-okx does."""
    return {"lever": lever, "mgnMode": mode, "instId": instrument, "ccy": ccy, "posSide": side}


PAIR, FUTURE, SWAP_ID = "BTC-USDT", "BTC-USDT-200802", "BTC-USDT-SWAP"

# The seed's eleven scenarios: the account that has the modes, the fields, and the lane that is set.
SCENARIOS = {
    1: ("desk-1", fields(PAIR, "isolated"), "isolated.pair.BTC-USDT"),
    2: ("spot", fields(mode="cross", ccy="BTC"), "cross.currency.BTC"),
    3: ("desk-1", fields(PAIR, "cross"), "cross.pair.BTC-USDT"),
    4: ("multi", fields(mode="cross", ccy="BTC"), "cross.currency.BTC"),
    5: ("portfolio", fields(mode="cross", ccy="BTC"), "cross.currency.BTC"),
    6: ("desk-1", fields(FUTURE, "cross"), "cross.underlying.BTC-USDT"),
    7: ("desk-1", fields(FUTURE, "isolated"), "isolated.contract.BTC-USDT-200802"),
    8: ("hedge", fields(FUTURE, "isolated", side="long"), "isolated.contract.BTC-USDT-200802.long"),
    9: ("desk-1", fields(SWAP_ID, "cross"), "cross.contract.BTC-USDT-SWAP"),
    10: ("desk-1", fields(SWAP_ID, "isolated"), "isolated.contract.BTC-USDT-SWAP"),
    11: ("hedge", fields(SWAP_ID, "isolated", side="short"), "isolated.contract.BTC-USDT-SWAP.short"),
}

# (account, fields): the status and code they are refused with.
REFUSED = {
    "no margin mode": ("desk-1", fields(SWAP_ID), 400, 50014),
    "no leverage": ("desk-1", fields(SWAP_ID, "cross", lever=""), 400, 50014),
    "another margin mode": ("desk-1", fields(SWAP_ID, "cash"), 400, 51000),
    "leverage no number": ("desk-1", fields(SWAP_ID, "cross", lever="5x"), 400, 51000),
    "leverage below zero": ("desk-1", fields(SWAP_ID, "cross", lever="-5"), 400, 51000),
    "leverage with an exponent": ("desk-1", fields(SWAP_ID, "cross", lever="1e1"), 400, 51000),
    "leverage in other digits": ("desk-1", fields(SWAP_ID, "cross", lever="\uff15"), 400, 51000),
    "above the maximum": ("desk-1", fields(SWAP_ID, "cross", lever="101"), 200, 59102),
    "above a pair's maximum": ("desk-1", fields(PAIR, "isolated", lever="11"), 200, 59102),
    "neither instrument nor currency": ("desk-1", fields(mode="cross"), 400, 50015),
    "both instrument and currency": ("multi", fields(PAIR, "cross", ccy="BTC"), 400, 50024),
    "instrument not listed": ("desk-1", fields("NO-USDT-SWAP", "cross"), 200, 51001),
    "series that is no day": ("desk-1", fields("BTC-USDT-209902", "cross"), 200, 51001),
    "currency not listed": ("multi", fields(mode="cross", ccy="NO"), 200, 51012),
    "currency with isolated margin": ("multi", fields(mode="isolated", ccy="BTC"), 400, 51000),
    "currency in futures mode": ("desk-1", fields(mode="cross", ccy="BTC"), 200, 51010),
    "cross pair in spot mode": ("spot", fields(PAIR, "cross"), 200, 51010),
    "cross pair in multi-currency mode": ("multi", fields(PAIR, "cross"), 200, 51010),
    "cross pair in portfolio margin": ("portfolio", fields(PAIR, "cross"), 200, 51010),
    "cross future in portfolio margin": ("portfolio", fields(FUTURE, "cross"), 200, 51039),
    "cross swap in portfolio margin": ("portfolio", fields(SWAP_ID, "cross"), 200, 51039),
    "no side in long/short mode": ("hedge", fields(SWAP_ID, "isolated"), 400, 51000),
    "net side in long/short mode": ("hedge", fields(SWAP_ID, "isolated", side="net"), 400, 51000),
    "a side in net mode": ("desk-1", fields(FUTURE, "isolated", side="long"), 400, 51000),
    "a side with cross margin": ("hedge", fields(SWAP_ID, "cross", side="long"), 400, 51000),
    "a side with a pair": ("hedge", fields(PAIR, "isolated", side="long"), 400, 51000),
    "another side": ("hedge", fields(SWAP_ID, "isolated", side="both"), 400, 51000),
}


def key_of(account: str) -> str:
    return KEY if account == "desk-1" else account


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_scenario(caller: Caller, scenario: int):
    account, sent, lane = SCENARIOS[scenario]
    answer = await caller.okx(sent, key=key_of(account))
    assert (answer.status, answer.tree["code"], answer.tree["msg"]) == (200, "0", ""), answer.text
    row = {"lever": "5", "mgnMode": sent["mgnMode"], "instId": sent["instId"], "posSide": sent["posSide"]}
    assert answer.tree["data"] == [row]
    assert caller.simulator.state() == {f"okx:{account}:{lane}": "5"}


@pytest.mark.parametrize("rule", REFUSED)
async def test_refused(caller: Caller, rule: str):
    account, sent, status, code = REFUSED[rule]
    answer = await caller.okx(sent, key=key_of(account))
    assert (answer.status, answer.tree["code"], answer.tree["data"]) == (status, str(code), []), answer.text
    assert caller.simulator.state() == {}


async def test_two_contracts_of_an_underlying_are_one_lane_under_cross_margin(caller: Caller):
    await caller.okx(fields("BTC-USD-200802", "cross", lever="5"))
    await caller.okx(fields("BTC-USD-270326", "cross", lever="7"))
    assert caller.simulator.state() == {"okx:desk-1:cross.underlying.BTC-USD": "7"}


async def test_the_seeds_bodies_without_empty_fields_are_taken_and_net_where_it_says_nothing(caller: Caller):
    assert (await caller.okx({"instId": PAIR, "lever": "5", "mgnMode": "isolated"})).tree["code"] == "0"
    assert (await caller.okx({"instId": SWAP_ID, "lever": "5", "mgnMode": "isolated", "posSide": "net"})).code == 0


@pytest.mark.parametrize("lever", [5, 7.5, "7.5", "0.01"])
async def test_leverage_may_be_a_number_and_have_decimals(caller: Caller, lever: object):
    assert (await caller.okx(SWAP | {"lever": lever})).tree["data"][0]["lever"] == str(lever)


HEADERS: dict[str, tuple[dict[str, Any], int]] = {
    "no key": ({"OK_ACCESS_KEY": None}, 50103),
    "no passphrase": ({"OK_ACCESS_PASSPHRASE": None}, 50104),
    "wrong passphrase": ({"OK_ACCESS_PASSPHRASE": "another"}, 50105),
    "no signature": ({"OK_ACCESS_SIGN": None}, 50106),
    "no timestamp": ({"OK_ACCESS_TIMESTAMP": None}, 50107),
    "unknown key": ({"OK_ACCESS_KEY": "another"}, 50111),
    "timestamp in milliseconds": ({"OK_ACCESS_TIMESTAMP": "1795262400000"}, 50112),
    "timestamp without milliseconds": ({"OK_ACCESS_TIMESTAMP": "2026-11-21T12:00:00Z"}, 50112),
    "timestamp of no day": ({"OK_ACCESS_TIMESTAMP": "2026-02-30T12:00:00.000Z"}, 50112),
    "timestamp of another second": ({"OK_ACCESS_TIMESTAMP": "2026-11-21T12:00:01.000Z"}, 50113),
    "wrong signature": ({"OK_ACCESS_SIGN": "AAAA"}, 50113),
    "live key for demo": ({"x_simulated_trading": "1"}, 50101),
}


@pytest.mark.parametrize("rule", HEADERS)
async def test_headers_are_refused(caller: Caller, rule: str):
    changed, code = HEADERS[rule]
    answer = await caller.okx(**changed)
    assert (answer.status, answer.code) == (401, code), answer.text
    assert caller.simulator.state() == {}


async def test_a_demo_key_is_for_demo_trading_alone(caller: Caller):
    assert (await caller.okx(key="demo")).code == 50101
    assert (await caller.okx(key="demo", x_simulated_trading="1")).code == 0


@pytest.mark.parametrize(("ahead", "code"), [(30.0, 0), (30.001, 50102), (-30.0, 0), (-30.001, 50102)])
async def test_a_timestamp_expires_after_thirty_seconds(caller: Caller, ahead: float, code: int):
    body = json.dumps(SWAP).encode()
    headers = caller.okx_headers("POST", PATHS["okx"], body, ahead=ahead)
    assert (await caller.send("okx", "POST", PATHS["okx"], body=body, headers=headers)).code == code


BODIES = {
    "empty": (b"", 50000),
    "no JSON": (b"instId=BTC-USDT-SWAP", 50002),
    "cut short": (b'{"instId":"BTC-USDT-SWAP"', 50002),
    "a list": (b'["BTC-USDT-SWAP"]', 50002),
    "a field twice": (b'{"lever":"5","lever":"6","mgnMode":"cross","instId":"BTC-USDT-SWAP"}', 50002),
    "a field that is a list": (b'{"lever":["5"],"mgnMode":"cross","instId":"BTC-USDT-SWAP"}', 51000),
    "a field that is true": (b'{"lever":true,"mgnMode":"cross","instId":"BTC-USDT-SWAP"}', 51000),
}


@pytest.mark.parametrize("rule", BODIES)
async def test_bodies_are_refused(caller: Caller, rule: str):
    body, code = BODIES[rule]
    answer = await caller.okx(body)
    assert (answer.status, answer.code) == (400, code), answer.text


async def test_a_body_that_is_not_said_to_be_json_is_refused(caller: Caller):
    answer = await caller.okx(Content_Type="application/x-www-form-urlencoded")
    assert (answer.status, answer.code) == (400, 50006)


async def test_the_body_is_signed_byte_by_byte(caller: Caller):
    headers = caller.okx_headers("POST", PATHS["okx"], json.dumps(SWAP).encode())
    compact = json.dumps(SWAP, separators=(",", ":")).encode()
    assert (await caller.send("okx", "POST", PATHS["okx"], body=compact, headers=headers)).code == 50113


async def test_leverage_info_tells_what_was_set_with_eight_decimals(caller: Caller):
    await caller.okx()
    answer = await caller.okx_read("/api/v5/account/leverage-info?instId=BTC-USDT-SWAP&mgnMode=cross")
    assert [(row["instId"], row["lever"]) for row in answer.tree["data"]] == [("BTC-USDT-SWAP", "21.00000000")]


async def test_leverage_info_tells_both_sides_in_long_short_mode(caller: Caller):
    await caller.okx(fields(SWAP_ID, "isolated", side="long"), key="hedge")
    target = "/api/v5/account/leverage-info?instId=BTC-USDT-SWAP&mgnMode=isolated"
    rows = (await caller.okx_read(target, key="hedge")).tree["data"]
    assert [(row["posSide"], row["lever"]) for row in rows] == [("long", "5.00000000"), ("short", "3.00000000")]


async def test_leverage_info_tells_a_currency(caller: Caller):
    await caller.okx(fields(mode="cross", ccy="BTC"), key="multi")
    rows = (await caller.okx_read("/api/v5/account/leverage-info?ccy=BTC&mgnMode=cross", key="multi")).tree["data"]
    assert [(row["ccy"], row["lever"]) for row in rows] == [("BTC", "5.00000000")]


READ_REFUSED = {
    "no margin mode": ("instId=BTC-USDT-SWAP", KEY, 51000),
    "neither": ("mgnMode=cross", KEY, 50015),
    "not listed": ("instId=NO-USDT-SWAP&mgnMode=cross", KEY, 51001),
    "too many": (f"instId={','.join(['BTC-USDT-SWAP'] * 21)}&mgnMode=cross", KEY, 51000),
    "portfolio margin": ("instId=BTC-USDT-SWAP&mgnMode=cross", "portfolio", 59111),
}


@pytest.mark.parametrize("rule", READ_REFUSED)
async def test_leverage_info_refuses(caller: Caller, rule: str):
    query, key, code = READ_REFUSED[rule]
    assert (await caller.okx_read(f"/api/v5/account/leverage-info?{query}", key=key)).code == code


async def test_the_query_of_a_read_is_signed(caller: Caller):
    headers = caller.okx_headers("GET", "/api/v5/account/leverage-info?instId=BTC-USDT-SWAP&mgnMode=cross")
    other = "/api/v5/account/leverage-info?instId=ETH-USDT-SWAP&mgnMode=cross"
    assert (await caller.send("okx", "GET", other, headers=headers)).code == 50113


async def test_config_tells_the_modes(caller: Caller):
    row = (await caller.okx_read("/api/v5/account/config", key="hedge")).tree["data"][0]
    assert (row["acctLv"], row["posMode"]) == ("2", "long_short_mode")


async def test_the_clock_is_public_and_text(caller: Caller):
    answer = await caller.send("okx", "GET", "/api/v5/public/time")
    assert answer.tree == {"code": "0", "msg": "", "data": [{"ts": str(caller.now_ms)}]}


async def test_the_venue_is_at_the_root_as_well(caller: Caller):
    async with caller.http.get(f"{caller.simulator.url}/api/v5/public/time") as answer:
        assert (await answer.json())["code"] == "0"
