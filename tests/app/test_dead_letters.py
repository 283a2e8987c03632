"""Dead letters that a gateway wrote, each verdict by what made it so, and a redrive that closes them."""

import asyncio

import pytest
import pytest_asyncio

from gateway.client.dead_letters import BatchLetter, Filters, RedriveOptions, StoppedError, open_dead_letters
from gateway.clock import SystemClock
from gateway.simulator import Fault
from schemas import BinanceUsdm, Okx, Timestamp
from tests.app.processes import until
from tests.app.rig import Rig

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]
OPTIONS = RedriveOptions(operator="kim", note="the venue is back")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(rig: Rig):
    settings = rig.settings(
        venue={"max_attempts": 1, "breaker_failures": 100}, venues={"okx": {"dead_letters_per_minute": 1}}
    )
    async with rig.gateway(settings) as gateway:
        yield gateway


@pytest_asyncio.fixture(loop_scope="module")
async def desk(rig: Rig):
    kafka = {"bootstrap_servers": rig.bootstrap}
    async with open_dead_letters(kafka, rig.topics, group=rig.topics.commands) as desk:
        yield desk


def down(rig, *symbols):
    for symbol in symbols:
        rig.simulator.faults.add(Fault(kind="service_unavailable_503", venue="binance_usdm", lane=symbol))


def ask(rig, symbol, leverage=5, **more):
    return rig.command(BinanceUsdm(symbol=symbol), leverage, **more)


async def letters_of(desk, *commands):
    rows = [row async for row in desk.rows(Filters(command_id=[one.command_id for one in commands], state="all"))]
    return {row.command_id: row.letter for row in rows[:-1]}


async def test_each_verdict_comes_of_what_really_happened(rig, gateway, desk):
    same, older, newer = ask(rig, "SOLUSDT", 7), ask(rig, "ETHUSDT"), ask(rig, "ETHUSDT", 6)
    await rig.ask(same)
    down(rig, "SOLUSDT", "ETHUSDT", "BTCUSDT", "DOGEUSDT")
    again = ask(rig, "SOLUSDT", 7)
    late = ask(rig, "DOGEUSDT", expires_at=Timestamp.from_epoch(now() + 1.0))
    fine, nobody = ask(rig, "BTCUSDT"), ask(rig, "BTCUSDT", account="nobody")
    reasons = [event.reason for event in await rig.ask(again, older, late, fine, nobody)]
    assert reasons == ["venue_unavailable"] * 4 + ["unknown_account"]
    garbage = await rig.put(b"\xff{")
    await until(lambda: rig.records_of("dead_letters", garbage), "the garbage's letter")
    rig.simulator.faults.clear()
    await rig.ask(newer)
    await until(lambda: now() > late.expires_at.timestamp(), "the late one's expiry")
    places = await letters_of(desk, again, older, late, fine, nobody)
    plan, _ = await desk.plan(Filters(), max_redrives=3)
    said = {row.letter: row.verdict for row in plan.letters}
    assert [said[places[one.command_id]] for one in (again, older, late, fine, nobody)] == [
        "already_set",
        "obsolete",
        "expired",
        "apply",
        "unknown_account",
    ]
    (undecodable,) = [row.letter for row in plan.letters if row.letter not in places.values()]
    assert said[undecodable] == "undecodable"
    plan, _ = await desk.plan(Filters(), [places[fine.command_id], "0:4000"], max_redrives=0)
    assert sorted(row.verdict for row in plan.letters) == ["came_back", "gone"]


async def test_a_redrive_of_what_a_venue_could_not_do_is_closed_by_its_events(rig, gateway, desk):
    commands = [ask(rig, symbol, 9) for symbol in ("BTCUSDT", "SOLUSDT", "DOGEUSDT")]
    down(rig, "BTCUSDT", "SOLUSDT", "DOGEUSDT")
    await rig.ask(*commands)
    rig.simulator.faults.clear()
    places = await letters_of(desk, *commands)
    plan, _ = await desk.plan(Filters(), list(places.values()), max_redrives=3)
    assert [row.verdict async for row in desk.apply(plan, OPTIONS)] == ["apply"] * 3
    assert [row.verdict async for row in desk.apply(plan, OPTIONS)] == ["done"] * 3
    ids = {event.redrive_of for event in rig.events()}
    await until(lambda: {one.command_id for one in commands} <= {event.redrive_of for event in rig.events()}, str(ids))
    rows = [row async for row in desk.batch(plan.batch) if isinstance(row, BatchLetter)]
    assert {row.outcome for row in rows} == {"changed"}
    detail, _ = await desk.show(places[commands[0].command_id])
    assert (detail.state, str(detail.lane_now.leverage)) == ("redriven", "9")
    assert [later.outcome for later in detail.lane_now.asked_since][-1] == "changed"


async def test_a_brake_that_is_on_is_told_of_and_holds_its_venues_letters(rig, gateway, desk):
    rig.simulator.faults.add(Fault(kind="okx_50001", venue="okx"))
    commands = [rig.command(Okx(margin_mode="cross", instrument=f"{name}-USDT-SWAP")) for name in ("BTC", "ETH", "SOL")]
    events = await rig.ask(*commands)
    rig.simulator.faults.clear()
    assert sorted(event.dead_lettered for event in events) == [False, False, True]
    _, brakes, _ = await desk.groups(Filters(), ["reason"])
    told = {brake.venue: brake for brake in brakes}
    assert (told["okx"].on, told["okx"].left_out, told["binance_usdm"].on) == (True, 2, False)
    assert told["okx"].since == min(event.occurred_at for event in events if not event.dead_lettered)
    plan, _ = await desk.plan(Filters(venue=["okx"]), max_redrives=3)
    assert [row.verdict for row in plan.letters] == ["apply"]
    stop, waits = asyncio.Event(), []

    def tell(why):
        waits.append(why)
        stop.set()

    with pytest.raises(StoppedError):
        await anext(desk.apply(plan, OPTIONS, stop=stop, tell=tell))
    assert "the brake of okx is on" in waits[0]
    assert not [event for event in rig.events() if event.redrive_of in {one.command_id for one in commands}]


def now():
    return SystemClock().wall()
