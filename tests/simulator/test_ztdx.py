"""ZTDX takes both samples of its page, and refuses what is wrong in query or body."""

import json

import pytest

from tests.simulator.by_hand import KEY, PATHS, Answer, Caller, hex_hmac, signed

PATH = PATHS["ztdx"]
HEADERS = {"X-MBX-APIKEY": KEY, "Content-Type": "application/json"}


async def post(caller: Caller, body: bytes, query: str | None = None) -> Answer:
    """As the page's Python sample: the timestamp in the query, the rest in the body, both signed."""
    parameters = f"timestamp={caller.now_ms}" if query is None else query
    return await caller.send("ztdx", "POST", f"{PATH}?{signed(parameters, body)}", body=body, headers=HEADERS)


async def test_the_python_sample_is_taken(caller: Caller):
    answer = await post(caller, b'{"symbol":"BTCUSDT","leverage":20}')
    assert answer.tree == {"leverage": 20, "maxNotionalValue": "10000000.0000", "symbol": "BTCUSDT"}
    assert caller.simulator.state() == {"ztdx:desk-1:BTCUSDT": "20"}


async def test_the_curl_sample_is_taken(caller: Caller):
    answer = await caller.binance("ztdx", "symbol=BTCUSDT&leverage=20")
    assert (answer.status, answer.tree["leverage"]) == (200, 20)


@pytest.mark.parametrize("leverage", [b"20", b'"20"'])
async def test_leverage_is_a_number_or_numeric_text(caller: Caller, leverage: bytes):
    assert (await post(caller, b'{"symbol":"BTCUSDT","leverage":' + leverage + b"}")).status == 200


async def test_a_symbol_in_another_script_is_taken_in_the_body(caller: Caller):
    body = json.dumps({"symbol": "测试USDT", "leverage": 50}, ensure_ascii=False).encode()
    assert (await post(caller, body)).tree["symbol"] == "测试USDT"


async def test_a_signature_over_the_decoded_query_is_taken_too(caller: Caller):
    decoded = f"symbol=测试USDT&leverage=5&timestamp={caller.now_ms}"
    encoded = decoded.replace("测试", "%E6%B5%8B%E8%AF%95")
    for payload in (decoded, encoded):
        target = f"{PATH}?{encoded}&signature={hex_hmac(payload)}"
        assert (await caller.send("ztdx", "POST", target, headers=HEADERS)).status == 200


BODIES = {
    "symbol missing": (b'{"leverage":20}', -1102),
    "leverage missing": (b'{"symbol":"BTCUSDT"}', -1102),
    "no JSON": (b"symbol=BTCUSDT&leverage=20", -1102),
    "a list": (b'["BTCUSDT",20]', -1102),
    "cut short": (b'{"symbol":"BTCUSDT","leverage":20', -1102),
    "leverage true": (b'{"symbol":"BTCUSDT","leverage":true}', -1102),
    "leverage null": (b'{"symbol":"BTCUSDT","leverage":null}', -1102),
    "leverage with decimals": (b'{"symbol":"BTCUSDT","leverage":20.5}', -1100),
    "leverage signed": (b'{"symbol":"BTCUSDT","leverage":-20}', -1100),
    "a field twice": (b'{"symbol":"BTCUSDT","leverage":20,"leverage":21}', -1101),
    "unknown field": (b'{"symbol":"BTCUSDT","leverage":20,"side":"BUY"}', -1104),
    "above the band": (b'{"symbol":"BTCUSDT","leverage":126}', -4028),
    "below the band": (b'{"symbol":"BTCUSDT","leverage":0}', -4028),
    "symbol not listed": (b'{"symbol":"NOUSDT","leverage":5}', -1121),
}


@pytest.mark.parametrize("rule", BODIES)
async def test_bodies_are_refused(caller: Caller, rule: str):
    body, code = BODIES[rule]
    answer = await post(caller, body)
    assert (answer.status, answer.code) == (400, code), answer.text
    assert caller.simulator.state() == {}


async def test_one_name_in_query_and_body_is_refused(caller: Caller):
    query = f"symbol=BTCUSDT&timestamp={caller.now_ms}"
    assert (await post(caller, b'{"symbol":"BTCUSDT","leverage":20}', query)).code == -1101


async def test_the_body_is_signed(caller: Caller):
    query = f"timestamp={caller.now_ms}"
    target = f"{PATH}?{signed(query, b'')}"
    body = b'{"symbol":"BTCUSDT","leverage":20}'
    assert (await caller.send("ztdx", "POST", target, body=body, headers=HEADERS)).code == -1022


async def test_keys_are_checked(caller: Caller):
    target = f"{PATH}?{signed(f'symbol=BTCUSDT&leverage=5&timestamp={caller.now_ms}')}"
    assert (await caller.send("ztdx", "POST", target)).code == -2014
    assert (await caller.send("ztdx", "POST", target, headers={"X-MBX-APIKEY": "u" * 32})).code == -2015


@pytest.mark.parametrize(("ahead_ms", "code"), [(999, 0), (1000, -1021), (-5000, 0), (-5001, -1021)])
async def test_the_receive_window_is_exact(caller: Caller, ahead_ms: int, code: int):
    body = b'{"symbol":"BTCUSDT","leverage":20}'
    assert (await post(caller, body, f"timestamp={caller.now_ms + ahead_ms}")).code == code


async def test_position_risk_tells_what_was_set(caller: Caller):
    await caller.binance("ztdx", "symbol=BTCUSDT&leverage=20")
    rows = (await caller.read("ztdx", "/fapi/v1/positionRisk", "symbol=BTCUSDT")).tree
    assert [(row["symbol"], int(row["leverage"])) for row in rows] == [("BTCUSDT", 20)]


async def test_the_clock_is_public(caller: Caller):
    assert (await caller.send("ztdx", "GET", "/fapi/v1/time")).tree == {"serverTime": caller.now_ms}
