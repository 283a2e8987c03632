"""Freezes and caps from the topic to the venue, with a real broker: refused, told once, and on again after the thaw."""

import time

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from gateway.kafka.policy_topic import read_policy, write_policy
from gateway.policy.board import NO_OPERATORS
from gateway.simulator import Fault
from schemas import BinanceMargin, BinanceUsdm, Okx, Scope, Timestamp
from schemas.policy import PolicyRecord
from tests.app.processes import until
from tests.app.rig import Rig
from tests.policy.desk import after, applied, freeze

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]
ETH = BinanceUsdm(symbol="ETHUSDT")


async def write(rig: Rig, record: PolicyRecord) -> None:
    """Write a record that replaces what holds, made now."""
    options = {"bootstrap_servers": rig.bootstrap}
    board = (await read_policy(rig.topics.policy, options, NO_OPERATORS)).board
    record = replace(after(board, record), at=Timestamp.from_epoch(time.time()))
    await write_policy(rig.topics.policy, options, record)


async def test_what_is_frozen_is_refused_and_goes_on_after_the_thaw(rig: Rig, gateway):
    await write(rig, freeze(scope=Scope(venue="okx")))
    await until(lambda: gateway.guard.stops, "the freeze is known")
    okx = Okx(margin_mode="cross", instrument="BTC-USDT-SWAP")
    frozen, free = await rig.ask(rig.command(okx), rig.command(ETH))
    assert (frozen.reason, frozen.policy_rules, frozen.policy_version) == ("policy", ("freeze:venue=okx",), UNSET)
    assert free.leverage == 5
    await write(rig, freeze("open", scope=Scope(venue="okx")))
    await until(lambda: not gateway.guard.stops, "the thaw is known")
    [event] = await rig.ask(rig.command(okx))
    assert event.leverage == 5
    assert rig.calls(venue="okx")[0].status == 200


async def test_what_waits_is_told_at_once_and_what_is_at_the_venue_is_told_when_it_ends(rig: Rig, gateway):
    rig.simulator.faults.add(Fault(kind="latency", venue="binance_usdm", calls=1, seconds=0.9))
    running = rig.command(BinanceUsdm(symbol="SIM1USDT"), 7)
    await rig.send(running)
    await until(lambda: rig.calls("SIM1USDT"), "it is at the venue")
    waiting = rig.command(BinanceUsdm(symbol="SIM1USDT"), 9)
    await rig.send(waiting)
    await until(lambda: gateway.group.incomplete and sum(gateway.group.incomplete.values()) == 2, "both are read")
    await write(rig, freeze())
    told = await rig.answers(waiting, running)
    assert [getattr(event, "reason", "changed") for event in told] == ["policy", "changed"]
    await write(rig, freeze("open"))
    await until(lambda: not gateway.guard.stops, "the thaw is known")


async def test_lower_only_goes_by_the_state_topic_also_where_the_venue_cannot_be_asked(rig: Rig, gateway):
    margin = BinanceMargin()
    [event] = await rig.ask(rig.command(margin, 5))
    assert event.leverage == 5
    await write(rig, freeze("lower_only", scope=Scope(venue="binance_margin")))
    await until(lambda: gateway.guard.stops, "it is known")
    up, down = await rig.ask(rig.command(margin, 10)), await rig.ask(rig.command(margin, 3))
    assert (up[0].reason, down[0].leverage) == ("policy", 3)
    await write(rig, freeze("open", scope=Scope(venue="binance_margin")))
    await until(lambda: not gateway.guard.stops, "the thaw is known")


async def test_caps_refuse_with_all_rules_and_the_version_and_a_candidate_only_counts(rig: Rig, gateway):
    await write(rig, applied('[rules.cap]\nsymbol = "SIM2*"\nmaximum = 10\n[rules.some]\nallowed = [1, 5, 20]\n'))
    await write(rig, applied("[rules.tight]\nmaximum = 2\n", "candidate"))
    await until(lambda: gateway.guard.ruling.policy and gateway.guard.ruling.candidate, "both are known")
    target = BinanceUsdm(symbol="SIM2USDT")
    high, fine = await rig.ask(rig.command(target, 15)), await rig.ask(rig.command(target, 5))
    assert (high[0].reason, high[0].policy_rules) == ("policy", ("cap.maximum", "some.allowed"))
    assert high[0].policy_version == gateway.guard.ruling.policy.book.version
    assert fine[0].leverage == 5
    told = {
        sample.labels["decision"]: sample.value
        for metric in gateway.metrics.policy_decisions_total.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["venue"] == "binance_usdm"
    }
    assert told["shadow_denied"] == 2
    assert told["denied"] >= 1
    await write(rig, applied(""))
    await write(rig, applied("", "candidate"))
    await until(lambda: not gateway.guard.ruling.asks_past, "the rules are gone")
