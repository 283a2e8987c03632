"""One command each, from the commands topic through the venue to events and state."""

from decimal import Decimal

import pytest

from gateway.app import Gateway
from schemas import BinanceMargin, BinancePortfolio, BinanceUsdm, LeverageChanged, Okx, Target, Ztdx
from schemas.headers import COMMAND_OFFSET, COMMAND_PARTITION, CONTENT_TYPE, TRACEPARENT
from tests.app.processes import until
from tests.app.rig import Rig, event_of

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("gateway")]
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TARGETS: tuple[tuple[Target, str, int], ...] = (
    (BinanceMargin(), "cross-margin", 5),
    (BinanceUsdm(symbol="BTCUSDT"), "BTCUSDT", 20),
    (BinanceUsdm(symbol="测试USDT"), "测试USDT", 20),
    (BinancePortfolio(symbol="ETHUSDT"), "ETHUSDT", 10),
    (Okx(margin_mode="cross", instrument="BTC-USDT-SWAP"), "cross.contract.BTC-USDT-SWAP", 15),
    (Ztdx(symbol="SOLUSDT"), "SOLUSDT", 12),
)


@pytest.mark.parametrize(("target", "lane", "leverage"), TARGETS)
async def test_a_command_becomes_a_venue_call_an_event_and_a_state_record(
    rig: Rig, target: Target, lane: str, leverage: int
):
    command = rig.command(target, leverage, issuer="momentum-7")
    [place] = await rig.send(command, headers=[(TRACEPARENT, TRACE)])
    [event] = await rig.answers(command)

    assert isinstance(event, LeverageChanged), event
    assert (event.leverage, event.requested_leverage, event.attempts) == (leverage, leverage, 1)
    assert (event.lane, event.account, event.issuer) == (lane, "desk-1", "momentum-7")
    key = f"{command.key}:{lane}"
    assert Decimal(rig.simulator.state()[key]) == leverage
    [called] = rig.calls(lane, command.target.__struct_config__.tag)  # pyright: ignore[reportArgumentType]
    assert (called.verdict, called.status, called.value) == ("applied", 200, str(leverage))

    await until(lambda: rig.records_of("state", place), "the state record")
    [told], [state] = rig.records_of("events", place), rig.records_of("state", place)
    assert (told.key, state.key) == (command.key.encode(), key.encode())
    assert event_of(state) == event
    for record in (told, state):
        assert record.partition == place.partition == rig.partition_of(command)
        headers = dict(record.headers)
        assert headers[CONTENT_TYPE] == b"application/json"
        assert headers[COMMAND_PARTITION] == b"%d" % place.partition
        assert headers[COMMAND_OFFSET] == b"%d" % place.offset
        assert headers[TRACEPARENT] == TRACE
    assert rig.records_of("dead_letters", place) == []


async def test_keys_of_every_kind_sign(rig: Rig, gateway: Gateway):
    """The Ed25519 desk; the HMAC desks are the other tests'."""
    targets = (BinanceMargin(), BinanceUsdm(symbol="BTCUSDT"), BinancePortfolio(symbol="BTCUSDT"))
    commands = [rig.command(target, 3, account="desk-ed25519") for target in targets]
    for event in await rig.ask(*commands):
        assert isinstance(event, LeverageChanged), event
