"""Promise 9 on everything a gateway process writes: logs at debug, topics, probes, metrics; through every kind of trouble."""

import re
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from msgspec.structs import replace

from gateway.clock import SystemClock
from gateway.settings.checks import secret_texts
from gateway.settings.tree import AccountSettings, CredentialSettings, LoggingSettings, Settings, TracesSettings
from gateway.simulator import Fault, Simulator, demo_accounts
from gateway.telemetry.logging import Guard
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.observer import Telemetry
from gateway.venues.accounts import Accounts
from gateway.venues.credentials import Credentials
from schemas import (
    BinanceMargin,
    BinancePortfolio,
    BinanceUsdm,
    LeverageChanged,
    LeverageRejected,
    Okx,
    SetLeverage,
    Target,
    Ztdx,
)
from tests.app.otlp import Collector, collector
from tests.app.processes import GatewayProcess, until
from tests.app.rig import Rig, deployed
from tests.chaos.collect import read_topic

WRONG = "WRONG-secret-that-must-not-show-5b1f"
TARGETS: tuple[Target, ...] = (
    BinanceMargin(),
    BinanceUsdm(symbol="BTCUSDT"),
    BinancePortfolio(symbol="BTCUSDT"),
    Okx(margin_mode="cross", instrument="BTC-USDT-SWAP"),
    Ztdx(symbol="BTCUSDT"),
)
SIGNED = re.compile(rb"signature=([^&\s\"]+)")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def signatures(kafka_bootstrap: str) -> AsyncGenerator[set[str]]:
    """Every signature that reached a venue."""
    seen: set[str] = set()
    serve = cast("Any", Simulator)._serve

    async def listening(self: Simulator, request: Any, call: Any, *rest: Any) -> Any:
        seen.update(found.decode() for found in SIGNED.findall(call.query.encode() + b" " + call.body))
        seen.update(value for name, value in call.headers.items() if name.upper() == "OK-ACCESS-SIGN")
        return await serve(self, request, call, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Simulator, "_serve", listening)
        yield seen


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(
    kafka_bootstrap: str, signatures: set[str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Rig]:
    async with deployed(kafka_bootstrap, tmp_path_factory.mktemp("secrets")) as rig:
        yield rig


def with_wrong_keys(rig: Rig) -> dict[str, AccountSettings]:
    """A desk that shows the right API key and signs with a wrong secret, at every venue."""
    (rig.folder / "wrong").write_text(WRONG)
    right: Any = rig.accounts["desk-1"]
    wrong = {
        venue: replace(getattr(right, venue), api_secret_file="wrong") for venue in AccountSettings.__struct_fields__
    }
    return rig.accounts | {"desk-wrong": AccountSettings(**wrong)}


def secrets_in(folder: Path) -> Iterator[str]:
    """Every key, secret, passphrase, and line of a private key."""
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in (".toml", ".log"):
            yield from (line for line in path.read_text().splitlines() if line and not line.startswith("-----"))


async def in_trouble(rig: Rig, run: str) -> None:
    """Each fault once, in a lane of its own; all end well."""
    commands: list[SetLeverage] = []
    for number, kind in enumerate(("reset_before", "reset_after", "truncated", "html", "empty", "unknown_503")):
        for target in (
            BinanceUsdm(symbol=f"SIM{number}{run}USDT"),
            Okx(margin_mode="cross", instrument=f"SIM{number}{run}-USDT-SWAP"),
        ):
            venue: Any = target.__struct_config__.tag
            known = "okx_50026" if (venue, kind) == ("okx", "unknown_503") else kind
            rig.simulator.faults.add(Fault(kind=known, venue=venue, lane=target.lane, calls=1))
            commands.append(rig.command(target, 7))
    for event in await rig.ask(*commands):
        assert isinstance(event, LeverageChanged), event


@pytest.mark.kafka
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.usefixtures("core_dumps")
@pytest.mark.parametrize("style", ["json", "console"])
async def test_nothing_that_is_written_anywhere_holds_a_key_a_secret_or_a_signature(
    rig: Rig, signatures: set[str], style: Any
):
    logging = LoggingSettings(format=style, level="debug")
    settings = rig.settings(accounts=with_wrong_keys(rig), logging=logging, venue={"breaker_failures": 100})
    async with collector() as otlp, rig.process(f"secrets-{style}", traced(settings, otlp), ready=False) as process:
        for event in await rig.ask(*(rig.command(target, 5) for target in TARGETS)):
            assert isinstance(event, LeverageChanged), event
        for event in await rig.ask(*(rig.command(target, 5, account="desk-wrong") for target in TARGETS)):
            assert isinstance(event, LeverageRejected)
            assert event.reason == "unauthorised", event
        assert isinstance((await rig.ask(rig.command(BinanceUsdm(symbol="NOPEUSDT"), 5)))[0], LeverageRejected)
        await in_trouble(rig, "1" if style == "json" else "2")
        rig.simulator.faults.add(Fault(kind="clock_skew", venue="ztdx"))
        assert isinstance((await rig.ask(rig.command(Ztdx(symbol="SIM2USDT"), 5)))[0], LeverageChanged)
        rig.simulator.faults.clear()
        await rig.put(f"garbage {signed(signatures)}".encode(), partition=1)
        await rig.settled()
        await until(lambda: "dead_lettered_record" in process.log, "the log has it")
        assert re.search(r"Max core file size +0 ", limits_of(process)), "a core dump holds every key"
        shown = await probes(process_url(process.log))
        assert await process.terminate() == 0

    assert {span.name.partition(" ")[0] for span in otlp.spans} >= {"process", "POST", "sign", "settle"}
    traces = b"".join(otlp.bodies).decode("utf-8", "replace")
    written = {"log": process.log, "probes": shown, "traces": traces}
    for role in ("events", "state", "dead_letters"):
        records = await read_topic(rig.bootstrap, getattr(rig.topics, role))
        written[role] = "\n".join(
            repr(record) for record in records if not (record.value or b"").startswith(b"garbage")
        )
    secrets = {*secrets_in(rig.folder), *signatures}
    assert len(signatures) > 15
    assert {account.api_key for account in demo_accounts()} < secrets
    for place, text in written.items():
        assert text
        found = [secret[:6] for secret in secrets if secret in text]
        assert found == [], place
        assert not re.search(r"signature=(?!\[removed\])", text), place


def traced(settings: Settings, otlp: Collector) -> Settings:
    return replace(settings, traces=TracesSettings(endpoint=otlp.url))


def signed(signatures: set[str]) -> str:
    """What somebody might paste into a command by mistake."""
    return f"POST /fapi/v1/leverage?signature={next(iter(signatures))}"


def limits_of(process: GatewayProcess) -> str:
    return Path(f"/proc/{process.popen.pid}/limits").read_text()


def process_url(log: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", log)
    assert found
    return found[0]


async def probes(url: str) -> str:
    async with ClientSession() as http:
        return "\n".join([await (await http.get(url + path)).text() for path in ("/metrics", "/livez", "/readyz")])


def test_keys_that_change_are_known_to_the_logs_guard_before_they_are_used(tmp_path: Path):
    for name in ("key", "secret"):
        (tmp_path / name).write_text(f"first-{name}-0123")
    keys = CredentialSettings(api_key_file="key", api_secret_file="secret")
    settings = Settings(accounts={"desk-1": AccountSettings(ztdx=keys)})
    guard = Guard(lambda _logger, _method, event: str(event["event"]), secret_texts(settings, tmp_path))
    used: list[str] = []

    def keys_changed() -> None:
        guard.learn(secret_texts(settings, tmp_path))
        used.append(api_key(accounts))

    accounts = Accounts(
        settings.accounts, tmp_path, clock=SystemClock(), observer=Telemetry(Metrics()), keys_changed=keys_changed
    )
    assert accounts.reload() == []
    (tmp_path / "key").write_text("another-key-4567")
    (tmp_path / "secret").unlink()
    assert accounts.reload() == []  # half-written: nothing is used yet
    (tmp_path / "secret").write_text("another-secret-4567")
    assert accounts.reload() == [("ztdx", "desk-1")]

    assert used == ["first-key-0123"]
    assert api_key(accounts) == "another-key-4567"
    line = "first-secret-0123 and another-secret-4567 of first-key-0123 and another-key-4567"
    assert guard(None, "info", {"event": line}) == "[removed] and [removed] of [removed] and [removed]"


def api_key(accounts: Accounts) -> str:
    credentials = accounts.credentials("ztdx", "desk-1")
    assert isinstance(credentials, Credentials)
    return credentials.api_key
