"""Limits as the venue publishes them now, and budgets used to the full and never broken, also beside somebody else."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from gateway.settings.tree import LimitSettings, VenueSettings
from schemas import VenueName
from tests.faults.desk import Desk, open_desk, target
from tests.faults.load import Load, measure
from tests.kit.jumping import clock, jumping_over_sockets

PUBLISHING: tuple[VenueName, ...] = ("binance_usdm", "ztdx")


def capacity(desk: Desk) -> int:
    return next(scope.capacity for scope in desk.gateway.permits.snapshot() if scope.limit == "ip_weight")


@asynccontextmanager
async def keeping(desk: Desk):
    """While the published limits are kept as the gateway keeps them."""
    task = asyncio.create_task(desk.gateway.published_limits.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize("venue", PUBLISHING)
@jumping_over_sockets
async def test_the_published_limit_is_asked_for_at_start_and_every_hour(venue: VenueName):
    async with open_desk(clock(), [("desk", venue)]) as desk:
        desk.simulator.gate.change(venue, "ip_weight", 1200, None)
        async with keeping(desk):
            await asyncio.sleep(1.0)
            assert capacity(desk) == 1200
            desk.simulator.gate.change(venue, "ip_weight", 3000, None)
            await asyncio.sleep(3590.0)
            assert capacity(desk) == 1200
            await asyncio.sleep(20.0)
            assert capacity(desk) == 3000


@pytest.mark.parametrize("kind", ["outage", "too_many", "waf"])
@jumping_over_sockets
async def test_a_venue_that_does_not_tell_keeps_its_limit_and_is_asked_again_in_a_minute(kind: str):
    async with open_desk(clock(), [("desk", "binance_usdm")]) as desk:
        desk.fault(kind, "binance_usdm", calls=1)
        desk.simulator.gate.change("binance_usdm", "ip_weight", 1200, None)
        async with keeping(desk):
            await asyncio.sleep(50.0)
            assert capacity(desk) == 2400
            await asyncio.sleep(20.0)
            assert capacity(desk) == 1200


@pytest.mark.parametrize("override", [LimitSettings(capacity=100), LimitSettings(window=30.0)])
@jumping_over_sockets
async def test_what_the_settings_say_of_a_limit_stands_whatever_is_published(override: LimitSettings):
    ours = VenueSettings(limits={"ip_weight": override})
    async with open_desk(clock(), [("desk", "binance_usdm")], venues={"binance_usdm": ours}) as desk:
        before = capacity(desk)
        desk.simulator.gate.change("binance_usdm", "ip_weight", 1200, None)
        async with keeping(desk):
            await asyncio.sleep(10.0)
            assert capacity(desk) == before


@jumping_over_sockets
async def test_a_lowered_limit_is_kept_from_then_on():
    async with open_desk(clock(), [("desk", "binance_usdm")]) as desk:
        desk.simulator.gate.change("binance_usdm", "ip_weight", 100, None)
        async with keeping(desk):
            await asyncio.sleep(1.0)
            answers = desk.feed(*(desk.command(target("binance_usdm", n), expires_in=300.0) for n in range(250)))
            await asyncio.gather(*answers)
        assert desk.refused_for_limits() == []
        assert clock().time() > 150.0


@jumping_over_sockets
async def test_too_many_in_answer_to_a_question_for_limits_pauses_the_address():
    async with open_desk(clock(), [("desk", "binance_usdm")]) as desk:
        desk.fault("too_many", "binance_usdm", calls=1, seconds=9)
        begun = clock().wall()
        async with keeping(desk):
            await asyncio.sleep(0.1)
            await desk.ask("binance_usdm")
        assert desk.calls("binance_usdm")[0].received_at - begun >= 9.0


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(Load(venue="okx", seconds=60, windows="fixed"), id="okx"),
        pytest.param(Load(venue="okx", seconds=60, windows="sliding"), id="okx, any window"),
        pytest.param(Load(venue="binance_margin", seconds=600), id="binance_margin"),
        pytest.param(Load(venue="binance_usdm", seconds=60, others=12), id="binance_usdm beside another"),
    ],
)
@jumping_over_sockets
async def test_ten_times_too_many_commands_use_the_budget_and_never_break_it(load: Load):
    measured = await measure(load, clock())
    assert measured.over == 0
    assert measured.share >= 0.98
    assert measured.commands > measured.calls
