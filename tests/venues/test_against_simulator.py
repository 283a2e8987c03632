"""Our calls over real sockets at the simulated venues, which share no code with us: signatures, read-backs, faults."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from msgspec import structs

from gateway.outcomes import (
    Ambiguous,
    Applied,
    ClockSkewed,
    KeyRejection,
    Outcome,
    Rejection,
    Throttled,
    Unavailable,
)
from gateway.simulator import Fault, SimulatedAccount, Simulator, SimulatorSettings
from gateway.simulator.faults import KINDS
from gateway.transport.messages import HttpReply, HttpRequest
from gateway.transport.session import VenueSession
from gateway.venues.credentials import Credentials
from gateway.venues.keys import HmacKey, parse_private_key
from gateway.venues.venue import Call
from schemas import BinanceUsdm, Okx, SetLeverage, VenueName
from tests.kit.clocks import FakeClock
from tests.venues.asking import TARGETS, VENUES, asked

BINANCE: tuple[VenueName, ...] = ("binance_margin", "binance_usdm", "binance_portfolio")
PRIVATE = {"rsa": rsa.generate_private_key(65537, 2048), "ed25519": ed25519.Ed25519PrivateKey.generate()}
RIGHT, PASSPHRASE = "right", "open sesame"
SWAP = Okx(margin_mode="isolated", instrument="BTC-USDT-SWAP")


def private_pem(kind: str) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return PRIVATE[kind].private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def public_pem(kind: str) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return PRIVATE[kind].public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def accounts() -> tuple[SimulatedAccount, ...]:
    """Every venue by secret, Binance by both kinds of private key too, OKX in its modes."""
    by_secret = [
        SimulatedAccount(name="hmac", venue=venue, api_key="hmac", secret=RIGHT) for venue in (*BINANCE, "ztdx")
    ]
    by_key = [
        SimulatedAccount(name=kind, venue=venue, api_key=kind, public_key=public_pem(kind))
        for venue in BINANCE
        for kind in PRIVATE
    ]
    return (
        *by_secret,
        *by_key,
        okx("hmac"),
        okx("hedge", pos_mode="long_short_mode"),
        okx("multi", acct_lv=3),
        okx("demo", simulated=True),
    )


def okx(name: str, **modes: Any) -> SimulatedAccount:
    return SimulatedAccount(name=name, venue="okx", api_key=name, secret=RIGHT, passphrase=PASSPHRASE, **modes)


def credentials(
    name: str = "hmac", *, secret: str = RIGHT, passphrase: str = PASSPHRASE, simulated: bool = False
) -> Credentials:
    key = parse_private_key(private_pem(name)) if name in PRIVATE else HmacKey(secret)
    return Credentials(api_key=name, signing_key=key, passphrase=passphrase, simulated=simulated)


class Desk:
    """Calls one simulated venue as the gateway does, once each."""

    def __init__(self, simulator: Simulator, clock: FakeClock) -> None:
        self.simulator = simulator
        self.clock = clock
        self.ahead_ms = 0
        self.call_timeout = 20.0

    async def send(self, venue: VenueName, call: Call, keys: Credentials) -> HttpReply | Unavailable | Ambiguous:
        timestamp_ms = int(self.clock.wall() * 1000) + self.ahead_ms
        return await self.exchange(venue, VENUES[venue].sign(call, keys, timestamp_ms))

    async def ask(self, venue: VenueName, call: Call) -> HttpReply | Unavailable | Ambiguous:
        return await self.exchange(venue, HttpRequest(method=call.method, target=call.target, headers={}))

    async def exchange(self, venue: VenueName, request: HttpRequest) -> HttpReply | Unavailable | Ambiguous:
        session = VenueSession(self.simulator.base_url(venue), call_timeout=self.call_timeout)
        await session.start()
        try:
            return await session.send(request)
        finally:
            await session.close()

    async def set(self, venue: VenueName, command: SetLeverage, keys: Credentials | None = None) -> Outcome:
        answer = await self.send(venue, VENUES[venue].set_leverage(command), keys or credentials())
        return VENUES[venue].classify(command, answer) if isinstance(answer, HttpReply) else answer

    async def read_back(self, venue: VenueName, command: SetLeverage, keys: Credentials | None = None) -> Outcome:
        call = VENUES[venue].read_back(command)
        assert call is not None
        answer = await self.send(venue, call, keys or credentials())
        return VENUES[venue].classify_read_back(command, answer) if isinstance(answer, HttpReply) else answer


@pytest.fixture
async def desk(clock: FakeClock) -> AsyncGenerator[Desk]:
    simulator = Simulator(SimulatorSettings(accounts=accounts()), clock)
    await simulator.start()
    yield Desk(simulator, clock)
    await simulator.stop()


def command_for(venue: VenueName, leverage: str = "5") -> SetLeverage:
    return asked(SWAP if venue == "okx" else venue, leverage)


# Signatures.


@pytest.mark.parametrize(
    ("venue", "kind"),
    [*[(venue, kind) for venue in BINANCE for kind in ("hmac", "rsa", "ed25519")], ("okx", "hmac"), ("ztdx", "hmac")],
)
async def test_a_signed_call_is_accepted_and_takes_effect(desk, venue, kind):
    command = command_for(venue)
    outcome = await desk.set(venue, command, credentials(kind))
    assert isinstance(outcome, Applied), outcome
    assert outcome.leverage in {command.leverage, None}
    assert desk.simulator.state() == {f"{venue}:{kind}:{command.target.lane}": "5"}


@pytest.mark.parametrize("venue", list(VENUES))
async def test_a_wrong_secret_is_unauthorised(desk, venue):
    assert isinstance(await desk.set(venue, command_for(venue), credentials(secret="wrong")), KeyRejection)


@pytest.mark.parametrize("venue", list(VENUES))
async def test_an_unknown_key_is_unauthorised(desk, venue):
    assert isinstance(await desk.set(venue, command_for(venue), credentials("nobody")), KeyRejection)


@pytest.mark.parametrize("venue", BINANCE)
async def test_one_key_kind_does_not_pass_for_another(desk, venue):
    crossed = Credentials(api_key="rsa", signing_key=parse_private_key(private_pem("ed25519")))
    assert isinstance(await desk.set(venue, command_for(venue), crossed), KeyRejection)


@pytest.mark.parametrize("wrong", [credentials(passphrase="wrong"), credentials("demo"), credentials(simulated=True)])
async def test_okx_refuses_a_wrong_passphrase_or_environment(desk, wrong):
    assert isinstance(await desk.set("okx", command_for("okx"), wrong), KeyRejection)


async def test_okx_demo_keys_are_told_by_a_header(desk):
    assert isinstance(await desk.set("okx", command_for("okx"), credentials("demo", simulated=True)), Applied)


@pytest.mark.parametrize("venue", ["binance_usdm", "binance_portfolio", "ztdx"])
async def test_a_symbol_of_another_script_is_signed_right(desk, venue):
    target = structs.replace(TARGETS[venue], symbol="测试USDT")
    outcome = await desk.set(venue, asked(target))
    assert isinstance(outcome, Applied), outcome


# Reading back, and the clock.


@pytest.mark.parametrize("venue", ["binance_usdm", "binance_portfolio", "okx", "ztdx"])
async def test_what_was_set_is_read_back(desk, venue):
    command = command_for(venue, "7")
    await desk.set(venue, command)
    found = await desk.read_back(venue, command_for(venue, "9"))
    assert isinstance(found, Applied), found
    assert (found.leverage, found.certainty) == (command.leverage, "read_back")


async def test_okx_sides_are_read_back_apart(desk):
    keys = credentials("hedge")
    sides = {
        side: Okx(margin_mode="isolated", instrument="BTC-USDT-SWAP", position_side=side) for side in ("long", "short")
    }
    for side, leverage in (("long", "4"), ("short", "6")):
        assert isinstance(await desk.set("okx", asked(sides[side], leverage), keys), Applied)
    found = {side: await desk.read_back("okx", asked(target), keys) for side, target in sides.items()}
    assert {side: str(outcome.leverage.normalize()) for side, outcome in found.items()} == {"long": "4", "short": "6"}


async def test_okx_currencies_are_set_and_read_back(desk):
    target = Okx(margin_mode="cross", currency="BTC")
    keys = credentials("multi")
    assert isinstance(await desk.set("okx", asked(target, "3"), keys), Applied)
    found = await desk.read_back("okx", asked(target), keys)
    assert isinstance(found, Applied)
    assert found.leverage == 3


@pytest.mark.parametrize("venue", list(VENUES))
async def test_the_clock_is_told_well_inside_the_window(desk, venue):
    desk.simulator.faults.add(Fault(kind="clock_skew", venue=venue, seconds=37.0))
    answer = await desk.ask(venue, VENUES[venue].server_time())
    told = VENUES[venue].server_time_ms(answer)
    assert told is not None
    assert abs(told - (desk.clock.wall() + 37.0) * 1000) <= 500


@pytest.mark.parametrize("venue", list(VENUES))
@pytest.mark.parametrize("skew", [-60.0, 60.0])
async def test_a_skewed_clock_is_said_so_and_the_venues_own_time_is_accepted(desk, venue, skew):
    desk.simulator.faults.add(Fault(kind="clock_skew", venue=venue, seconds=skew))
    assert isinstance(await desk.set(venue, command_for(venue)), ClockSkewed)
    desk.ahead_ms = int(skew * 1000)
    desk.clock.advance(61.0)  # cross margin takes one call a minute
    assert isinstance(await desk.set(venue, command_for(venue)), Applied)


# Rules that only the venue knows.


@pytest.mark.parametrize(
    ("venue", "command"),
    [
        ("binance_margin", asked("binance_margin", "20")),
        ("binance_usdm", asked("binance_usdm", "126")),
        ("binance_usdm", asked(BinanceUsdm(symbol="NOSUCHUSDT"))),
        ("binance_portfolio", asked("binance_portfolio", "126")),
        ("ztdx", asked("ztdx", "126")),
        ("okx", asked(SWAP, "126")),
        ("okx", asked(Okx(margin_mode="isolated", instrument="BTC-USDT-SWAP", position_side="long"))),
        ("okx", asked(Okx(margin_mode="cross", currency="BTC"))),
    ],
)
async def test_what_the_venue_refuses_is_refused_with_its_code(desk, venue, command):
    assert VENUES[venue].broken_rule(command) is None
    outcome = await desk.set(venue, command)
    assert isinstance(outcome, Rejection), outcome
    assert outcome.code
    assert outcome.message


# Limits.


@pytest.mark.parametrize("venue", list(VENUES))
async def test_a_full_budget_is_throttled_and_comes_back(desk, venue):
    command = command_for(venue)
    desk.simulator.gate.change(venue, VENUES[venue].set_leverage(command).costs[-1].limit, 1, None)
    outcomes = [await desk.set(venue, command), await desk.set(venue, command)]
    desk.clock.advance(61.0)
    outcomes.append(await desk.set(venue, command))
    assert [type(outcome) for outcome in outcomes] == [Applied, Throttled, Applied]
    limits = {limit.name for limit in VENUES[venue].limits}
    assert outcomes[1].limit in {*limits, None}


@pytest.mark.parametrize(
    ("venue", "expected"), [("binance_margin", ("uid_weight", 3000)), ("binance_usdm", ("ip_weight", 1))]
)
async def test_the_venues_own_count_of_our_use_is_ours(desk, venue, expected):
    answer = await desk.send(venue, VENUES[venue].set_leverage(command_for(venue)), credentials())
    assert VENUES[venue].usage(answer) == (expected,)


# Every fault by its name.

OUTCOMES: dict[str, type] = {
    "latency": Applied,
    "latency_before": Applied,
    "reset_before": Ambiguous,
    "reset_after": Ambiguous,
    "black_hole_before": Ambiguous,
    "black_hole_after": Ambiguous,
    "unknown_503": Ambiguous,
    "service_unavailable_503": Unavailable,
    "internal_503": Unavailable,
    "unexpected_500": Ambiguous,
    "timeout_504": Ambiguous,
    "timeout_408": Ambiguous,
    "protected_503": Unavailable,
    "okx_50001": Unavailable,
    "okx_50004": Ambiguous,
    "okx_50011": Throttled,
    "okx_50013": Unavailable,
    "okx_50026": Ambiguous,
    "truncated": Ambiguous,
    "html": Ambiguous,
    "empty": Ambiguous,
    "outage": Ambiguous,
    "waf": Unavailable,
    "too_many": Throttled,
    "ban": Throttled,
    "key_revoked": KeyRejection,
    "clock_skew": ClockSkewed,
}
# The texts of a 503 are told apart for futures only; of sapi's, none says that nothing was done.
OF_SAPI = {"service_unavailable_503": Ambiguous, "internal_503": Ambiguous}


@pytest.mark.parametrize(("venue", "kind"), [(venue, kind.name) for kind in KINDS for venue in kind.venues])
async def test_every_fault_by_its_name_has_its_outcome_and_leaves_what_it_says(desk, venue, kind):
    seconds = 0.01 if kind.startswith("latency") else None
    if kind.startswith("black_hole"):
        desk.call_timeout = 0.4
    desk.simulator.faults.add(Fault(kind=kind, venue=venue, seconds=seconds))
    outcome = await desk.set(venue, command_for(venue))
    expected: Callable[..., object] = OF_SAPI.get(kind, OUTCOMES[kind]) if venue == "binance_margin" else OUTCOMES[kind]
    assert type(outcome) is expected, outcome
    applied = bool(desk.simulator.state())
    assert applied == (next(one for one in KINDS if one.name == kind).applied)
    assert not applied or isinstance(outcome, Applied | Ambiguous)


@pytest.mark.parametrize("venue", ["binance_margin", "binance_usdm", "binance_portfolio", "ztdx"])
async def test_a_ban_says_until_when(desk, venue):
    desk.simulator.faults.add(Fault(kind="ban", venue=venue, seconds=120.0))
    outcome = await desk.set(venue, command_for(venue))
    assert isinstance(outcome, Throttled)
    assert outcome.banned
    assert outcome.until == pytest.approx(desk.clock.wall() + 120.0, abs=1.0)


@pytest.mark.parametrize("venue", ["binance_usdm", "binance_portfolio", "okx", "ztdx"])
@pytest.mark.parametrize(("kind", "found"), [("reset_before", False), ("reset_after", True), ("html", True)])
async def test_after_doubt_a_read_back_tells_what_became_of_it(desk, venue, kind, found):
    desk.simulator.faults.add(Fault(kind=kind, venue=venue, calls=1))
    command = command_for(venue, "9")
    assert isinstance(await desk.set(venue, command), Ambiguous)
    told = await desk.read_back(venue, command)
    assert isinstance(told, Applied), told
    assert (told.leverage == command.leverage) == found
