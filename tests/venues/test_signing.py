"""The published and recorded vectors: what we sign is what the venues and their own SDKs sign."""

from decimal import Decimal

import pytest

from gateway.venues.binance.futures import portfolio, usdm
from gateway.venues.binance.margin import BinanceMarginVenue
from gateway.venues.binance.signing import signature_text
from gateway.venues.credentials import Credentials
from gateway.venues.keys import HmacKey, parse_private_key
from gateway.venues.okx import signing as okx_signing
from gateway.venues.venue import Call
from schemas import BinanceMargin, BinancePortfolio, BinanceUsdm, SetLeverage


def credentials(secret: str, **more) -> Credentials:
    return Credentials(api_key="testkey", signing_key=HmacKey(secret), **more)


def command(target, leverage="5") -> SetLeverage:
    return SetLeverage(command_id="c", account="a", leverage=Decimal(leverage), target=target)


SPOT = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
FAPI = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"


@pytest.mark.parametrize(
    ("secret", "payload", "expected"),
    [
        (
            SPOT,
            "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
            "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
        ),
        (
            SPOT,
            "symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
            "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
        ),
        (
            FAPI,
            "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943",
            "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
        ),
        (
            FAPI,
            "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTCquantity=1&price=9000&recvWindow=5000&timestamp=1591702613943",
            "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4",
        ),
    ],
)
def test_the_published_hmac_vectors_are_reproduced(secret, payload, expected):
    assert signature_text(credentials(secret), payload.encode()) == expected


@pytest.mark.parametrize(
    ("venue", "target", "timestamp", "expected"),
    [
        (
            usdm(),
            BinanceUsdm(symbol="BTCUSDT"),
            1795248378472,
            "/fapi/v1/leverage?symbol=BTCUSDT&leverage=5&recvWindow=5000&timestamp=1795248378472&signature=6ab76fb9e076ebf63371fa3c711f93fcf6a67af0430bd3ce385bc486afc09c21",
        ),
        (
            portfolio(),
            BinancePortfolio(symbol="BTCUSDT"),
            1795248379471,
            "/papi/v1/um/leverage?symbol=BTCUSDT&leverage=5&recvWindow=5000&timestamp=1795248379471&signature=e893b7ee63f4baa67e45c2c780819fdbd86521b1ddcb58e34379ed2613428a2f",
        ),
        (
            BinanceMarginVenue(),
            BinanceMargin(),
            1795248380248,
            "/sapi/v1/margin/max-leverage?maxLeverage=5&timestamp=1795248380248&signature=cfdfe8eb2717468228f0c9a50c7d93e49af91ab3bfbf57e77c1d4f184cab61b2",
        ),
    ],
)
def test_binance_requests_are_byte_for_byte_what_the_official_sdks_sent(venue, target, timestamp, expected):
    request = venue.sign(venue.set_leverage(command(target)), credentials("testsecret"), timestamp)
    assert request.method == "POST"
    assert request.target == expected
    assert request.headers == {"X-MBX-APIKEY": "testkey"}
    assert request.body == b""


def test_a_symbol_outside_of_ascii_is_percent_encoded_before_it_is_signed():
    payload = b"symbol=%E6%B5%8B%E8%AF%95USDT&leverage=5&timestamp=1795248378476"
    assert (
        signature_text(credentials("testsecret"), payload)
        == "1608ca27e55e310997fd92a0348c2188ae0eda18b6aab906800ba20a5e4f56e2"
    )
    venue = usdm()
    request = venue.sign(venue.set_leverage(command(BinanceUsdm(symbol="测试USDT"))), credentials("testsecret"), 1)
    assert "symbol=%E6%B5%8B%E8%AF%95USDT&" in request.target


@pytest.mark.parametrize(
    ("body", "timestamp_ms", "expected"),
    [
        (
            b'{"lever": "5", "mgnMode": "cross", "instId": "BTC-USDT-SWAP", "ccy": "", "posSide": ""}',
            1795248383297,
            "i5xgnCjZdFt1c4Sr9mZhqtW1Pzv4rsEuHcUVaztMfaw=",
        ),
        (
            b'{"lever": "5", "mgnMode": "isolated", "instId": "BTC-USDT-SWAP", "ccy": "", "posSide": "long"}',
            1795248383301,
            "O6p1qU5InmaMS9xoKdoQkhX5MPV25J0pVnH213OImHc=",
        ),
        (
            b'{"lever": "5", "mgnMode": "cross", "instId": "", "ccy": "BTC", "posSide": ""}',
            1795248383380,
            "v4/6imWzL4fbeDanwkhruyxoVS5ldvJ2gw6FsBDT9WI=",
        ),
    ],
)
def test_okx_signatures_are_those_that_the_official_sdk_sent(body, timestamp_ms, expected):
    call = Call(purpose="set_leverage", method="POST", path="/api/v5/account/set-leverage", body=body)
    request = okx_signing.sign(call, credentials("testsecret", passphrase="testpass"), timestamp_ms)
    assert request.headers["OK-ACCESS-SIGN"] == expected
    assert request.headers["OK-ACCESS-TIMESTAMP"].startswith("2026-11-21T08:06:23.")
    assert request.headers["OK-ACCESS-PASSPHRASE"] == "testpass"
    assert "x-simulated-trading" not in request.headers


def test_nothing_shows_a_key():
    held = credentials("topsecret", passphrase="hidden")
    assert "topsecret" not in repr(held) + repr(held.signing_key)
    assert "hidden" not in repr(held)


def test_key_files_of_the_wrong_kind_are_named_without_their_content():
    with pytest.raises(Exception, match="private_key_file: not a PEM private key") as caught:
        parse_private_key(b"hunter2")
    assert "hunter2" not in str(caught.value)
