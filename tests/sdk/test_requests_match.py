"""The gateway's own requests and the official SDKs', both recorded from the wire: the same path, names and values.

The signature of each is verified over the bytes that came, with the secret or the public key. What the SDKs answer is in
the simulator's tests.
"""

import asyncio
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from gateway.transport.session import VenueSession
from gateway.venues.credentials import Credentials
from gateway.venues.keys import HmacKey, parse_private_key
from schemas import BinanceMargin, BinancePortfolio, BinanceUsdm, Okx, Target
from tests.transport.servers import answering, http, serving
from tests.venues.asking import VENUES, asked

pytestmark = [pytest.mark.sdk, pytest.mark.filterwarnings("ignore")]  # the SDKs' own warnings are not ours

FUTURES_ANSWER = b'{"leverage":5,"maxNotionalValue":"1000000","symbol":"BTCUSDT"}'
MARGIN_ANSWER = b'{"success":true}'
OKX_ANSWER = b'{"code":"0","msg":"","data":[{"lever":"5","mgnMode":"cross","instId":"BTC-USDT-SWAP","posSide":""}]}'
RSA_KEY = rsa.generate_private_key(65537, 2048)
ED25519_KEY = ed25519.Ed25519PrivateKey.generate()


class Recorded:
    """One request as it came over the wire."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        line, *headers = head.decode().split("\r\n")
        self.method, self.target, _ = line.split(" ")
        self.path, _, self.query = self.target.partition("?")
        self.headers = {name.lower(): value for name, _, value in (header.partition(": ") for header in headers)}

    @property
    def parameters(self) -> dict[str, str]:
        """Of the query, without what changes with time and the signature."""
        return {name: value for name, value in parse_qsl(self.query) if name not in {"timestamp", "signature"}}


async def recorded(answer: bytes, call: Callable[[str], Any]) -> Recorded:
    """What an SDK sends when it is given this server's address."""
    async with serving(answering(http(200, answer, Content_Type="application/json"))) as server:
        await asyncio.to_thread(call, server.url)
    assert len(server.requests) == 1
    return Recorded(server.requests[0])


async def sent_by_us(target: Target, credentials: Credentials) -> Recorded:
    command = asked(target)
    venue = VENUES[target.__struct_config__.tag]  # pyright: ignore[reportArgumentType]
    request = venue.sign(venue.set_leverage(command), credentials, 1795248378472)
    async with serving(answering(http())) as server:
        session = VenueSession(server.url, call_timeout=5)
        await session.start()
        await session.send(request)
        await session.close()
    return Recorded(server.requests[0])


def private_pem(key) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def verify_hmac(signed: bytes, signature: str) -> None:
    assert hmac.new(b"testsecret", signed, hashlib.sha256).hexdigest() == signature


def verify_rsa(signed: bytes, signature: str) -> None:
    RSA_KEY.public_key().verify(b64decode(signature), signed, padding.PKCS1v15(), hashes.SHA256())


def verify_ed25519(signed: bytes, signature: str) -> None:
    ED25519_KEY.public_key().verify(b64decode(signature), signed)


KEYS = {
    "hmac": ({"api_secret": "testsecret"}, HmacKey("testsecret"), verify_hmac),
    "rsa": ({"private_key": private_pem(RSA_KEY)}, parse_private_key(private_pem(RSA_KEY).encode()), verify_rsa),
    "ed25519": (
        {"private_key": private_pem(ED25519_KEY)},
        parse_private_key(private_pem(ED25519_KEY).encode()),
        verify_ed25519,
    ),
}


def usdm_sdk(url: str, symbol: str, **keys: str) -> None:
    sdk = pytest.importorskip("binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures")
    configuration = sdk.ConfigurationRestAPI(api_key="testkey", base_path=url, **keys)
    api = sdk.DerivativesTradingUsdsFutures(config_rest_api=configuration).rest_api
    api.change_initial_leverage(symbol=symbol, leverage=5, recv_window=5000)


def portfolio_sdk(url: str, symbol: str, **keys: str) -> None:
    sdk = pytest.importorskip("binance_sdk_derivatives_trading_portfolio_margin.derivatives_trading_portfolio_margin")
    configuration = sdk.ConfigurationRestAPI(api_key="testkey", base_path=url, **keys)
    api = sdk.DerivativesTradingPortfolioMargin(config_rest_api=configuration).rest_api
    api.change_um_initial_leverage(symbol=symbol, leverage=5, recv_window=5000)


def margin_sdk(url: str, _: str, **keys: str) -> None:
    sdk = pytest.importorskip("binance_sdk_margin_trading.margin_trading")
    configuration = sdk.ConfigurationRestAPI(api_key="testkey", base_path=url, **keys)
    sdk.MarginTrading(config_rest_api=configuration).rest_api.adjust_cross_margin_max_leverage(max_leverage=5)


@pytest.mark.parametrize("kind", list(KEYS))
@pytest.mark.parametrize(
    ("call", "target", "symbol", "answer"),
    [
        (usdm_sdk, BinanceUsdm(symbol="BTCUSDT"), "BTCUSDT", FUTURES_ANSWER),
        (usdm_sdk, BinanceUsdm(symbol="测试USDT"), "测试USDT", FUTURES_ANSWER),
        (portfolio_sdk, BinancePortfolio(symbol="BTCUSDT"), "BTCUSDT", FUTURES_ANSWER),
        (margin_sdk, BinanceMargin(), "", MARGIN_ANSWER),
    ],
    ids=["usdm", "usdm in another script", "portfolio", "margin"],
)
async def test_binance_requests_are_those_of_the_official_sdk(call, target, symbol, answer, kind):
    keys, signing_key, verify = KEYS[kind]
    theirs = await recorded(answer, lambda url: call(url, symbol, **keys))
    ours = await sent_by_us(target, Credentials(api_key="testkey", signing_key=signing_key))
    assert (ours.method, ours.path, ours.body) == (theirs.method, theirs.path, theirs.body)
    assert ours.parameters == theirs.parameters
    for request in (theirs, ours):
        assert request.headers["x-mbx-apikey"] == "testkey"
        assert request.headers["content-length"] == "0"
        assert "content-type" not in request.headers
        signed, _, signature = request.query.partition("&signature=")
        assert "&" not in signature
        verify(signed.encode() + request.body, dict(parse_qsl(f"s={signature}"))["s"])


@pytest.mark.parametrize("simulated", [True, False], ids=["demo", "live"])
@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        (Okx(margin_mode="cross", instrument="BTC-USDT-SWAP"), {"instId": "BTC-USDT-SWAP", "mgnMode": "cross"}),
        (Okx(margin_mode="cross", currency="BTC"), {"ccy": "BTC", "mgnMode": "cross"}),
        (
            Okx(margin_mode="isolated", instrument="BTC-USDT-SWAP", position_side="long"),
            {"instId": "BTC-USDT-SWAP", "mgnMode": "isolated", "posSide": "long"},
        ),
    ],
    ids=["contract", "currency", "side"],
)
async def test_okx_requests_are_those_of_the_official_sdk_less_its_empty_fields(target, arguments, simulated):
    def call(url: str) -> None:
        sdk = pytest.importorskip("okx.Account")
        flag = "1" if simulated else "0"
        api = sdk.AccountAPI("testkey", "testsecret", "testpass", flag=flag, domain=url)
        api.set_leverage(lever="5", **arguments)
        api.close()

    keys = Credentials(api_key="testkey", signing_key=HmacKey("testsecret"), passphrase="testpass", simulated=simulated)
    theirs, ours = await recorded(OKX_ANSWER, call), await sent_by_us(target, keys)
    assert (ours.method, ours.target) == (theirs.method, theirs.target)
    filled = {name: value for name, value in msgspec.json.decode(theirs.body).items() if value != ""}
    assert msgspec.json.decode(ours.body) == filled
    assert b" " not in ours.body
    for name in ("ok-access-key", "ok-access-passphrase", "content-type"):
        assert ours.headers[name] == theirs.headers[name]
    assert theirs.headers["x-simulated-trading"] == ("1" if simulated else "0")
    assert ours.headers.get("x-simulated-trading", "0") == theirs.headers["x-simulated-trading"]
    for request in (theirs, ours):
        assert len(request.headers["ok-access-timestamp"]) == len("2026-11-21T08:06:23.297Z")
        signed = (request.headers["ok-access-timestamp"] + request.method + request.target).encode() + request.body
        expected = b64encode(hmac.new(b"testsecret", signed, hashlib.sha256).digest()).decode()
        assert request.headers["ok-access-sign"] == expected
