"""The official SDKs, pointed at the simulator: right keys are taken, wrong ones are not.

Whoever wrote an SDK did not read our code: where both agree on a signature, neither is wrong by our misunderstanding.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from gateway.clock import SystemClock
from gateway.simulator import SimulatedAccount, Simulator, SimulatorSettings

pytestmark = [pytest.mark.sdk, pytest.mark.filterwarnings("ignore")]  # the SDKs' own warnings are not ours

KEY, SECRET, PASSPHRASE = "testkey", "testsecret", "testpass"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED25519_KEY = ed25519.Ed25519PrivateKey.generate()
BINANCE = ("binance_margin", "binance_usdm", "binance_portfolio")
LANES = {"binance_margin": "cross-margin", "binance_usdm": "BTCUSDT", "binance_portfolio": "BTCUSDT"}


def private_pem(key) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def public_pem(key) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def accounts():
    for venue in BINANCE:
        yield SimulatedAccount(name="hmac", venue=venue, api_key=KEY, secret=SECRET)  # pyright: ignore[reportArgumentType]
        for name, key in (("rsa", RSA_KEY), ("ed25519", ED25519_KEY)):
            yield SimulatedAccount(name=name, venue=venue, api_key=f"{name}key", public_key=public_pem(key))  # pyright: ignore[reportArgumentType]
    okx: dict[str, Any] = {"venue": "okx", "secret": SECRET, "passphrase": PASSPHRASE}
    yield SimulatedAccount(name="live", api_key=KEY, **okx)
    yield SimulatedAccount(name="demo", api_key="demokey", simulated=True, **okx)


RIGHT = {
    "hmac": {"api_key": KEY, "api_secret": SECRET},
    "rsa": {"api_key": "rsakey", "private_key": private_pem(RSA_KEY)},
    "ed25519": {"api_key": "ed25519key", "private_key": private_pem(ED25519_KEY)},
}
WRONG = {
    "another secret": ({"api_key": KEY, "api_secret": "anothersecret"}, -1022),
    "another RSA key": (
        {"api_key": "rsakey", "private_key": private_pem(rsa.generate_private_key(65537, 2048))},
        -1022,
    ),
    "another Ed25519 key": (
        {"api_key": "ed25519key", "private_key": private_pem(ed25519.Ed25519PrivateKey.generate())},
        -1022,
    ),
    "a secret for a key pair": ({"api_key": "rsakey", "api_secret": SECRET}, -1022),
    "an unknown key": ({"api_key": "unknown", "api_secret": SECRET}, -2015),
}


@pytest.fixture
async def simulator() -> AsyncGenerator[Simulator]:
    # The SDKs read the machine's clock, so the venues do too.
    simulator = Simulator(SimulatorSettings(accounts=tuple(accounts())), SystemClock())
    await simulator.start()
    yield simulator
    await simulator.stop()


def usdm_sdk(url: str, symbol: str, **keys: str) -> Any:
    sdk = pytest.importorskip("binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures")
    configuration = sdk.ConfigurationRestAPI(base_path=url, timeout=10_000, **keys)
    return sdk.DerivativesTradingUsdsFutures(config_rest_api=configuration).rest_api.change_initial_leverage(
        symbol=symbol, leverage=5
    )


def portfolio_sdk(url: str, symbol: str, **keys: str) -> Any:
    sdk = pytest.importorskip("binance_sdk_derivatives_trading_portfolio_margin.derivatives_trading_portfolio_margin")
    configuration = sdk.ConfigurationRestAPI(base_path=url, timeout=10_000, **keys)
    return sdk.DerivativesTradingPortfolioMargin(config_rest_api=configuration).rest_api.change_um_initial_leverage(
        symbol=symbol, leverage=5, recv_window=5000
    )


def margin_sdk(url: str, _: str, **keys: str) -> Any:
    sdk = pytest.importorskip("binance_sdk_margin_trading.margin_trading")
    configuration = sdk.ConfigurationRestAPI(base_path=url, timeout=10_000, **keys)
    return sdk.MarginTrading(config_rest_api=configuration).rest_api.adjust_cross_margin_max_leverage(max_leverage=5)


SDKS: dict[str, Callable[..., Any]] = {
    "binance_margin": margin_sdk,
    "binance_usdm": usdm_sdk,
    "binance_portfolio": portfolio_sdk,
}


@pytest.mark.parametrize("account", list(RIGHT))
@pytest.mark.parametrize("venue", BINANCE)
async def test_binance_sdks_are_answered_with_the_right_key(simulator, venue, account):
    response = await asyncio.to_thread(SDKS[venue], simulator.base_url(venue), "BTCUSDT", **RIGHT[account])
    answered = response.data()
    assert answered.success if venue == "binance_margin" else (answered.leverage, answered.symbol) == (5, "BTCUSDT")
    assert simulator.state() == {f"{venue}:{account}:{LANES[venue]}": "5"}


@pytest.mark.parametrize("account", list(RIGHT))
async def test_symbols_of_other_scripts_are_taken_from_the_sdk(simulator, account):
    await asyncio.to_thread(usdm_sdk, simulator.base_url("binance_usdm"), "测试USDT", **RIGHT[account])
    assert simulator.state() == {f"binance_usdm:{account}:测试USDT": "5"}


@pytest.mark.parametrize("wrong", list(WRONG))
@pytest.mark.parametrize("venue", BINANCE)
async def test_binance_sdks_are_refused_with_the_wrong_key(simulator, venue, wrong):
    keys, code = WRONG[wrong]
    with pytest.raises(Exception, match=r".") as refused:
        await asyncio.to_thread(SDKS[venue], simulator.base_url(venue), "BTCUSDT", **keys)
    # Not a connection that failed: the SDK understood the venue's answer.
    assert refused.type.__module__.startswith("binance_common")
    assert [entry.code for entry in simulator.journal.entries] == [str(code)]
    assert simulator.state() == {}


def okx_sdk(url: str, key: str, secret: str, passphrase: str, flag: str) -> Any:
    sdk = pytest.importorskip("okx.Account")
    api = sdk.AccountAPI(key, secret, passphrase, flag=flag, domain=url)
    try:
        return api.set_leverage(lever="5", mgnMode="cross", instId="BTC-USDT-SWAP")
    finally:
        api.close()


@pytest.mark.parametrize("at_root", [True, False], ids=["at the root", "under the prefix"])
@pytest.mark.parametrize(("key", "flag", "account"), [(KEY, "0", "live"), ("demokey", "1", "demo")])
async def test_the_okx_sdk_is_answered_with_the_right_key(simulator, key, flag, account, at_root):
    url = simulator.url if at_root else simulator.base_url("okx")
    answered = await asyncio.to_thread(okx_sdk, url, key, SECRET, PASSPHRASE, flag)
    row = {"lever": "5", "mgnMode": "cross", "instId": "BTC-USDT-SWAP", "posSide": ""}
    assert answered == {"code": "0", "msg": "", "data": [row]}
    assert simulator.state() == {f"okx:{account}:cross.contract.BTC-USDT-SWAP": "5"}


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ((KEY, "anothersecret", PASSPHRASE, "0"), "50113"),
        ((KEY, SECRET, "anotherpass", "0"), "50105"),
        (("unknown", SECRET, PASSPHRASE, "0"), "50111"),
        ((KEY, SECRET, PASSPHRASE, "1"), "50101"),
        (("demokey", SECRET, PASSPHRASE, "0"), "50101"),
    ],
    ids=["secret", "passphrase", "key", "live key in demo", "demo key live"],
)
async def test_the_okx_sdk_is_refused_with_the_wrong_key(simulator, keys, code):
    answered = await asyncio.to_thread(okx_sdk, simulator.base_url("okx"), *keys)
    assert answered["code"] == code
    assert simulator.state() == {}
