"""Gateways that come, go and die: every command answered once, nothing called twice, nobody quarantined for nothing."""

import asyncio
from collections import Counter
from datetime import datetime
from itertools import count, pairwise

import pytest

from gateway.settings.tree import Settings
from gateway.simulator import Fault
from schemas import BinancePortfolio, BinanceUsdm, LeverageChanged, LeverageRejected, Okx, SetLeverage, Target, Ztdx
from tests.app.processes import PARTITIONS, GatewayProcess, until
from tests.app.rig import Rig

STATIC = {"group_instance_id": "one"}  # comes back without waiting for its session to end
QUARANTINE = 2.0
pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]


def assert_each_once(rig: Rig, commands: list[SetLeverage]) -> None:
    answered = Counter(event.command_id for event in rig.events(*commands))
    assert answered == dict.fromkeys((command.command_id for command in commands), 1)


def assert_no_lane_overlaps_or_goes_backwards(rig: Rig) -> None:
    """Per lane the test's values only grow."""
    lanes = {(call.venue, call.account, call.lane) for call in rig.calls()}
    for lane in lanes:
        calls = [call for call in rig.calls() if (call.venue, call.account, call.lane) == lane]
        for one, following in pairwise(calls):
            assert (one.finished_at or 0) <= following.received_at, lane
            assert int(one.value) <= int(following.value), lane


async def load(rig: Rig, sent: list[SetLeverage], tag: str, lanes: int = 12) -> None:
    """Ever growing values for some lanes on every partition, until cancelled."""
    for turn in count():
        number, leverage = turn % lanes, 1 + turn // (5 * lanes) % 100
        symbol = f"SIM{number}{tag}USDT"
        asked: tuple[tuple[Target, str], ...] = (
            (Okx(margin_mode="cross", instrument=f"SIM{number}{tag}-USDT-SWAP"), "desk-1"),
            (BinancePortfolio(symbol=symbol), "desk-1"),
            (BinanceUsdm(symbol=symbol), "desk-1"),
            (BinanceUsdm(symbol=symbol), "desk-ed25519"),
            (Ztdx(symbol=symbol), "desk-1"),
        )
        target, account = asked[turn // lanes % 5]
        command = rig.command(target, leverage, account=account)
        sent.append(command)
        await rig.send(command)
        await asyncio.sleep(0.003)


async def test_a_second_gateway_joins_under_load_and_leaves_and_all_is_answered_once(rig: Rig):
    sent: list[SetLeverage] = []
    async with rig.gateway() as first:
        loading = asyncio.create_task(load(rig, sent, "1"))
        await until(lambda: len(rig.events()) > 50, "the load is answered")
        async with rig.gateway() as second:
            await until(lambda: len(second.group.partitions) == PARTITIONS // 2, "the second has its half")
            await until(lambda: first.health.ready()[0] and second.health.ready()[0], "both are ready")
            assert len(first.group.partitions) == PARTITIONS // 2
            before = len(rig.events())
            await until(lambda: len(rig.events()) > before + 100, "both answer")
        await until(lambda: len(first.group.partitions) == PARTITIONS, "the first has all again")
        await until(lambda: first.health.ready()[0], "and works on them")
        before = len(rig.events())
        await until(lambda: len(rig.events()) > before + 50, "it answers")
        loading.cancel()
        await asyncio.wait([loading])
        await rig.answers(*sent)
        await rig.settled()
    assert_each_once(rig, sent)
    assert_no_lane_overlaps_or_goes_backwards(rig)
    assert Counter(type(event) for event in rig.events(*sent)).keys() <= {LeverageChanged, LeverageRejected}


async def test_what_was_answered_stays_answered_after_a_restart(rig: Rig):
    """By the ledger for commands above the committed offset, by the repeat window for what is sent again."""
    command = rig.command(BinanceUsdm(symbol="SIM200USDT"), 5)
    async with rig.gateway(rig.settings(kafka={"commit_interval": 30.0})):
        await rig.ask(command)
    async with rig.gateway():
        await rig.send(command)
        await rig.settled()
    assert len(rig.events(command)) == 1
    assert len(rig.calls("SIM200USDT")) == 1


async def test_sigterm_answers_what_is_in_flight_commits_and_leaves_nobody_a_quarantine(rig: Rig):
    await left_clean(rig)
    slow = rig.command(BinanceUsdm(symbol="SIM300USDT"), 5)
    rig.simulator.faults.add(Fault(kind="latency", venue="binance_usdm", lane="SIM300USDT", calls=1, seconds=0.7))
    async with rig.process("sigterm", quarantining(rig)) as process:
        await rig.send(slow)
        await until(lambda: rig.calls("SIM300USDT"), "the call is in flight")
        assert await process.terminate() == 0
        [event] = await rig.answers(slow)
        assert isinstance(event, LeverageChanged)
        assert process.logged("stopped_gateway")
        [left] = process.logged("revoked_partitions")
        assert left["clean"], process.log

        waiting = rig.command(BinanceUsdm(symbol="SIM301USDT"), 6)
        await rig.send(waiting)
        process.start()
        await rig.answers(waiting)
        assert await process.terminate() == 0
    [called] = rig.calls("SIM301USDT")
    assert called.received_at < assigned_at(process) + QUARANTINE, process.log
    assert len(rig.calls("SIM300USDT")) == 1


async def test_what_came_before_a_successor_of_a_killed_one_waits_out_the_quarantine(rig: Rig):
    """The other side of the clean mark."""
    async with rig.process("quarantine", quarantining(rig)) as process:
        process.kill()
        waiting = rig.command(BinanceUsdm(symbol="SIM311USDT"), 6)
        await rig.send(waiting)
        process.start()
        await rig.answers(waiting)
        assert await process.terminate() == 0
    [called] = rig.calls("SIM311USDT")
    assert called.received_at >= assigned_at(process) + QUARANTINE


async def test_killed_between_call_and_commit_each_command_has_one_event_and_committed_answers_no_second_call(rig: Rig):
    # No offset is committed in time and no id remembered: only the ledger can know.
    seldom = {"commit_interval": 6.0, "lease": 12.0, "session_timeout_ms": 12_000, "rebalance_timeout_ms": 20_000}
    settings = rig.settings(kafka=STATIC | seldom, pipeline={"repeat_window_count": 0})
    async with rig.process("kill", settings) as process:
        answered = [rig.command(BinanceUsdm(symbol=f"SIM{400 + number}USDT"), 5) for number in range(20)]
        await rig.ask(*answered)
        rig.simulator.faults.add(Fault(kind="latency", venue="binance_usdm", lane="SIM450USDT", calls=1, seconds=0.8))
        in_flight = rig.command(BinanceUsdm(symbol="SIM450USDT"), 6)
        await rig.send(in_flight)
        await until(lambda: rig.simulator.state().get("binance_usdm:desk-1:SIM450USDT") == "6", "it is applied")
        process.kill()
        assert rig.events(in_flight) == []

        process.start()
        [event] = await rig.answers(in_flight)
        await rig.settled()
        assert await process.terminate() == 0
    assert isinstance(event, LeverageChanged)
    assert_each_once(rig, [*answered, in_flight])
    assert [len(rig.calls(command.target.lane)) for command in answered] == [1] * len(answered)
    assert 1 <= len(rig.calls("SIM450USDT")) <= 2


async def left_clean(rig: Rig) -> None:
    """A gateway was here and left when no quarantine was on."""
    short = 0.1
    async with rig.gateway(rig.settings(venue={"call_timeout": short})):
        await rig.settled()
        await asyncio.sleep(short)


def quarantining(rig: Rig) -> Settings:
    return rig.settings(kafka=STATIC, venue={"call_timeout": QUARANTINE})


def assigned_at(process: GatewayProcess) -> float:
    return datetime.fromisoformat(process.logged("assigned_partitions")[-1]["time"]).timestamp()
