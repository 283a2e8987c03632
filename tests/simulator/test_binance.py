"""The Binance venues refuse what the real ones refuse, each by its code."""

import hashlib
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.simulator import SimulatedAccount, SimulatorSettings
from tests.simulator.by_hand import BINANCE, GOOD, KEY, PATHS, Caller, accounts, hex_hmac, quoted_base64, signed

FUTURES = ("binance_usdm", "binance_portfolio")
CALL_LIMITS = {"binance_margin": "ip_calls", "binance_usdm": "ip_weight", "binance_portfolio": "ip_weight"}
CHINESE = quote("测试USDT")

# Parameters before `timestamp` and `signature`, which are right: the code they are refused with.
BAD_FUTURES = {
    "symbol missing": ("leverage=5", -1102),
    "leverage missing": ("symbol=BTCUSDT", -1102),
    "unknown parameter": ("symbol=BTCUSDT&leverage=5&side=BUY", -1104),
    "parameter twice": ("symbol=BTCUSDT&symbol=BTCUSDT&leverage=5", -1101),
    "receive window empty": ("symbol=BTCUSDT&leverage=5&recvWindow=", -1105),
    "receive window too long": ("symbol=BTCUSDT&leverage=5&recvWindow=60001", -1131),
    "receive window no number": ("symbol=BTCUSDT&leverage=5&recvWindow=5s", -1100),
    "leverage with decimals": ("symbol=BTCUSDT&leverage=5.5", -1100),
    "leverage signed": ("symbol=BTCUSDT&leverage=-5", -1100),
    "leverage in other digits": ("symbol=BTCUSDT&leverage=" + quote("\uff15"), -1100),
    "leverage of nothing": ("symbol=BTCUSDT&leverage=0", -4028),
    "above the first bracket": ("symbol=BTCUSDT&leverage=126", -4028),
    "above another symbol's bracket": ("symbol=ETHUSDT&leverage=101", -4028),
    "above a bracket in another script": (f"symbol={CHINESE}&leverage=51", -4028),
    "symbol not listed": ("symbol=NOUSDT&leverage=5", -1121),
    "symbol in lower case": ("symbol=btcusdt&leverage=5", -1121),
}
BAD_MARGIN = {
    "leverage missing": ("recvWindow=5000", -1102),
    "another name": ("leverage=5", -1102),
    "unknown parameter": ("maxLeverage=5&symbol=BTCUSDT", -1104),
    "parameter twice": ("maxLeverage=5&maxLeverage=5", -1101),
    "leverage with decimals": ("maxLeverage=5.0", -1100),
}
EMPTY = {-1102, -1105}


@pytest.mark.parametrize("venue", FUTURES)
@pytest.mark.parametrize("rule", BAD_FUTURES)
async def test_futures_refuse(caller: Caller, venue: str, rule: str):
    query, code = BAD_FUTURES[rule]
    answer = await caller.binance(venue, query)
    assert (answer.status, answer.code) == (400, code), answer.text
    assert caller.simulator.state() == {}


@pytest.mark.parametrize("rule", BAD_MARGIN)
async def test_cross_margin_refuses(caller: Caller, rule: str):
    query, code = BAD_MARGIN[rule]
    answer = await caller.binance("binance_margin", query)
    assert (answer.status, answer.code) == (400, code), answer.text
    assert caller.simulator.state() == {}


@pytest.mark.parametrize("query", ["symbol=&leverage=5", "symbol=BTCUSDT&leverage="])
async def test_an_empty_parameter_is_refused(caller: Caller, query: str):
    answer = await caller.binance("binance_usdm", query)
    assert answer.status == 400
    assert answer.code in EMPTY


@pytest.mark.parametrize("venue", BINANCE)
async def test_a_good_call_changes_the_lane(caller: Caller, venue: str):
    answer = await caller.binance(venue)
    assert answer.status == 200, answer.text
    lane, value = ("cross-margin", "5") if venue == "binance_margin" else ("BTCUSDT", "21")
    assert caller.simulator.state() == {f"{venue}:desk-1:{lane}": value}
    assert answer.tree == ({"success": True} if venue == "binance_margin" else answer.tree | {"leverage": 21})


@pytest.mark.parametrize("venue", FUTURES)
async def test_a_symbol_in_another_script_is_taken_percent_encoded(caller: Caller, venue: str):
    answer = await caller.binance(venue, f"symbol={CHINESE}&leverage=50")
    assert (answer.status, answer.tree["symbol"]) == (200, "测试USDT")


@pytest.mark.parametrize(("leverage", "status"), [(3, 200), (5, 200), (10, 200), (20, 400), (4, 400), (15, 400)])
async def test_cross_margin_takes_only_what_the_page_lists(caller: Caller, leverage: int, status: int):
    answer = await caller.binance("binance_margin", f"maxLeverage={leverage}")
    assert answer.status == status


@pytest.mark.parametrize(
    "settings",
    [
        SimulatorSettings(
            accounts=(
                SimulatedAccount(name="pro", venue="binance_margin", api_key=KEY, secret="s" * 32, allow_20=True),
            )
        )
    ],
)
async def test_cross_margin_takes_20_where_compliance_allows_it(caller: Caller):
    assert (await caller.binance("binance_margin", "maxLeverage=20")).status == 200


@pytest.mark.parametrize("venue", BINANCE)
async def test_a_key_that_is_missing_or_unknown_is_unauthorised(caller: Caller, venue: str):
    target = f"{PATHS[venue]}?{signed(f'{GOOD[venue]}&timestamp={caller.now_ms}')}"
    missing = await caller.send(venue, "POST", target)
    caller.clock.advance(60)
    target = f"{PATHS[venue]}?{signed(f'{GOOD[venue]}&timestamp={caller.now_ms}')}"
    unknown = await caller.send(venue, "POST", target, headers={"X-MBX-APIKEY": "u" * 32})
    assert (missing.status, missing.code) == (401, -2014)
    assert (unknown.status, unknown.code) == (401, -2015)


ONLY_ZTDX = SimulatorSettings(accounts=tuple(account for account in accounts() if account.venue == "ztdx"))


@pytest.mark.parametrize("settings", [ONLY_ZTDX], ids=["another venue's key"])
@pytest.mark.parametrize("venue", BINANCE)
async def test_a_key_of_another_venue_is_unknown(caller: Caller, venue: str):
    assert (await caller.binance(venue)).code == -2015


# What is sent, by what it does to the signature; %s is the good query without signature.
def _wrong_signatures(query: str) -> dict[str, str]:
    right = hex_hmac(query)
    return {
        "of another secret": signed(query, secret="another"),
        "of other parameters": f"{query}&signature={hex_hmac(query + '0')}",
        "of parameters in another order": f"{query}&signature={hex_hmac('&'.join(reversed(query.split('&'))))}",
        "of a trailing separator": f"{query}&signature={hex_hmac(query + '&')}",
        "cut short": f"{query}&signature={right[:-1]}",
        "of another hash": f"{query}&signature={hashlib.sha256(query.encode()).hexdigest()}",
        "not hex": f"{query}&signature=zz",
    }


@pytest.mark.parametrize("venue", BINANCE)
@pytest.mark.parametrize("wrong", sorted(_wrong_signatures("")))
async def test_a_wrong_signature_is_refused(caller: Caller, venue: str, wrong: str):
    target = _wrong_signatures(f"{GOOD[venue]}&timestamp={caller.now_ms}")[wrong]
    answer = await caller.send(venue, "POST", f"{PATHS[venue]}?{target}", headers={"X-MBX-APIKEY": KEY})
    assert (answer.status, answer.code) == (400, -1022)
    assert caller.simulator.state() == {}


@pytest.mark.parametrize("venue", BINANCE)
async def test_hex_is_read_without_regard_to_case(caller: Caller, venue: str):
    query = f"{GOOD[venue]}&timestamp={caller.now_ms}"
    target = f"{PATHS[venue]}?{query}&signature={hex_hmac(query).upper()}"
    assert (await caller.send(venue, "POST", target, headers={"X-MBX-APIKEY": KEY})).status == 200


@pytest.mark.parametrize("venue", BINANCE)
async def test_without_signature_a_call_is_refused(caller: Caller, venue: str):
    target = f"{PATHS[venue]}?{GOOD[venue]}&timestamp={caller.now_ms}"
    assert (await caller.send(venue, "POST", target, headers={"X-MBX-APIKEY": KEY})).code == -1102


@pytest.mark.parametrize("venue", FUTURES)
async def test_futures_take_nothing_after_the_signature(caller: Caller, venue: str):
    query = f"{GOOD[venue]}&timestamp={caller.now_ms}"
    target = f"{PATHS[venue]}?signature={hex_hmac(query)}&{query}"
    assert (await caller.send(venue, "POST", target, headers={"X-MBX-APIKEY": KEY})).code == -1022


async def test_cross_margin_takes_the_signature_anywhere(caller: Caller):
    query = f"maxLeverage=5&timestamp={caller.now_ms}"
    target = f"{PATHS['binance_margin']}?signature={hex_hmac(query)}&{query}"
    assert (await caller.send("binance_margin", "POST", target, headers={"X-MBX-APIKEY": KEY})).status == 200


@pytest.mark.parametrize("venue", FUTURES)
async def test_query_and_body_are_signed_next_to_each_other(caller: Caller, venue: str):
    headers = {"X-MBX-APIKEY": KEY, "Content-Type": "application/x-www-form-urlencoded"}
    query, body = "symbol=BTCUSDT", f"leverage=5&timestamp={caller.now_ms}"
    good = f"{body}&signature={hex_hmac(query + body)}".encode()
    joined = f"{body}&signature={hex_hmac(f'{query}&{body}')}".encode()
    assert (await caller.send(venue, "POST", f"{PATHS[venue]}?{query}", body=good, headers=headers)).status == 200
    assert (await caller.send(venue, "POST", f"{PATHS[venue]}?{query}", body=joined, headers=headers)).code == -1022


async def test_json_bodies_are_no_parameters(caller: Caller):
    body = b'{"symbol":"BTCUSDT","leverage":5}'
    headers = {"X-MBX-APIKEY": KEY, "Content-Type": "application/json"}
    target = f"{PATHS['binance_usdm']}?{signed(f'timestamp={caller.now_ms}', body)}"
    assert (await caller.send("binance_usdm", "POST", target, body=body, headers=headers)).code == -1102


@pytest.mark.parametrize("venue", BINANCE)
@pytest.mark.parametrize(
    ("ahead_ms", "window", "code"),
    [
        (0, "", 0),
        (999, "", 0),
        (1000, "", -1021),
        (1000, "60000", -1021),
        (-5000, "", 0),
        (-5001, "", -1021),
        (-60_000, "60000", 0),
        (-60_001, "60000", -1021),
        (-99, "99", 0),
        (-100, "99", -1021),
    ],
)
async def test_the_receive_window_is_exact(caller: Caller, venue: str, ahead_ms: int, window: str, code: int):
    parameters = f"{GOOD[venue]}{f'&recvWindow={window}' if window else ''}&timestamp={caller.now_ms + ahead_ms}"
    target = f"{PATHS[venue]}?{signed(parameters)}"
    answer = await caller.send(venue, "POST", target, headers={"X-MBX-APIKEY": KEY})
    assert (answer.status, answer.code) == (400 if code else 200, code), answer.text


@pytest.mark.parametrize(("venue", "code"), [("binance_margin", 0), ("binance_usdm", -1021)])
async def test_only_sapi_takes_microseconds(caller: Caller, venue: str, code: int):
    target = f"{PATHS[venue]}?{signed(f'{GOOD[venue]}&timestamp={caller.now_ms}000')}"
    answer = await caller.send(venue, "POST", target, headers={"X-MBX-APIKEY": KEY})
    assert answer.code == code


RSA = generate_private_key(public_exponent=65537, key_size=2048)
ED25519 = Ed25519PrivateKey.generate()
PAIRS = {"rsa": RSA, "ed25519": ED25519}


def _pem(name: str) -> str:
    return PAIRS[name].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _sign(name: str, payload: str) -> bytes:
    key = PAIRS[name]
    if isinstance(key, RSAPrivateKey):
        return key.sign(payload.encode(), PKCS1v15(), SHA256())
    return key.sign(payload.encode())


PAIR_SETTINGS = SimulatorSettings(
    accounts=tuple(
        SimulatedAccount(name=name, venue=venue, api_key=name, public_key=_pem(name))  # pyright: ignore[reportArgumentType]
        for name in PAIRS
        for venue in BINANCE
    )
)


@pytest.mark.parametrize("settings", [PAIR_SETTINGS], ids=["key pairs"])
@pytest.mark.parametrize("venue", BINANCE)
@pytest.mark.parametrize("kind", PAIRS)
async def test_key_pairs_sign_too_and_only_with_their_own_key(caller: Caller, venue: str, kind: str):
    query = f"{GOOD[venue]}&timestamp={caller.now_ms}"
    right, other = _sign(kind, query), _sign("rsa" if kind == "ed25519" else "ed25519", query)
    wrong = (f"{query}&signature={quoted_base64(other)}", f"{query}&signature={right.hex()}", signed(query))
    taken = f"{query}&signature={quoted_base64(right)}"
    for target in (*wrong, taken):
        await caller.control("POST", "limits", {"venue": venue, "limit": CALL_LIMITS[venue], "capacity": 100})
        answer = await caller.send(venue, "POST", f"{PATHS[venue]}?{target}", headers={"X-MBX-APIKEY": kind})
        assert answer.code == (0 if target is taken else -1022)


@pytest.mark.parametrize(
    ("venue", "path"), [("binance_usdm", "/fapi/v1/symbolConfig"), ("binance_portfolio", "/papi/v1/um/symbolConfig")]
)
async def test_symbol_config_tells_what_was_set(caller: Caller, venue: str, path: str):
    await caller.binance(venue)
    answer = await caller.read(venue, path, "symbol=BTCUSDT")
    assert [(row["symbol"], row["leverage"]) for row in answer.tree] == [("BTCUSDT", 21)]
    assert (await caller.read(venue, path, "symbol=NOUSDT")).code == -1121


@pytest.mark.parametrize(("venue", "path"), [("binance_margin", "/api/v3/time"), ("binance_usdm", "/fapi/v1/time")])
async def test_the_clock_is_public(caller: Caller, venue: str, path: str):
    assert (await caller.send(venue, "GET", path)).tree == {"serverTime": caller.now_ms}


async def test_portfolio_margin_tells_the_time_in_a_header_alone(caller: Caller):
    answer = await caller.send("binance_portfolio", "GET", "/papi/v1/ping")
    assert answer.tree == {}
    assert answer.headers["Date"] == "Sat, 21 Nov 2026 12:00:00 GMT"


async def test_exchange_info_tells_the_limit_in_force(caller: Caller):
    answer = await caller.send("binance_usdm", "GET", "/fapi/v1/exchangeInfo")
    limits = {(limit["rateLimitType"], limit["interval"], limit["limit"]) for limit in answer.tree["rateLimits"]}
    assert ("REQUEST_WEIGHT", "MINUTE", 2400) in limits
