"""A gateway that is full stops fetching and stays a member; a backlog is worked off in bounded memory."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from gateway.app import Gateway
from gateway.kafka.group import FETCH_RECORDS
from gateway.simulator import Fault
from schemas import BinanceUsdm, LeverageChanged
from tests.app.processes import until
from tests.app.rig import Rig

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]
MAX_INCOMPLETE = 50
BACKLOG = 10_000  # `backlog.py` does a million
SESSION_TIMEOUT_MS = 2_500


class Watch:
    """The worst that was seen."""

    def __init__(self) -> None:
        self.incomplete = 0
        self.lanes = 0
        self.paused = 0
        self.resumed = 0
        self.unready: list[object] = []
        self.generations: set[int] = set()


@asynccontextmanager
async def watched(gateway: Gateway) -> AsyncGenerator[Watch]:
    watch = Watch()

    async def look() -> None:
        before = 0
        while True:
            group = gateway.group
            watch.incomplete = max(watch.incomplete, *group.incomplete.values())
            watch.lanes = max(watch.lanes, *(partition.lane_count for partition in group.partitions))
            watch.paused += group.paused > before
            watch.resumed += group.paused < before
            before = group.paused
            watch.generations.add(cast("Any", group.consumer)._coordinator.generation)
            ready, why = gateway.health.ready()
            watch.unready += [] if ready else [why]
            await asyncio.sleep(0.005)

    looking = asyncio.create_task(look())
    try:
        yield watch
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def test_a_full_gateway_pauses_fetching_goes_on_at_half_and_stays_a_member(rig: Rig):
    settings = rig.settings(
        kafka={"session_timeout_ms": SESSION_TIMEOUT_MS, "lease": 2.0},
        pipeline={"max_incomplete": MAX_INCOMPLETE, "max_in_flight": 20},
    )
    commands = [rig.command(BinanceUsdm(symbol=f"SIM{number}USDT"), 5) for number in range(1500)]
    async with rig.gateway(settings) as gateway:
        async with watched(gateway) as watch:
            rig.simulator.faults.add(Fault(kind="latency", venue="binance_usdm", seconds=0.04))
            for start in range(0, len(commands), 100):  # in batches, as one fetch takes in all that it has
                await rig.send(*commands[start : start + 100])
            events = await rig.answers(*commands)
            await until(lambda: gateway.group.paused == 0, "it fetches again")
            spent = commands[-1], events[-1]
        assert gateway.health.ready()[0]
    assert {type(event) for event in events} == {LeverageChanged}, spent
    assert len(rig.events(*commands)) == len(rig.calls()) == len(commands)
    assert watch.paused >= 1
    assert watch.resumed >= 1
    assert watch.incomplete <= MAX_INCOMPLETE + FETCH_RECORDS
    assert watch.unready == []
    assert len(watch.generations) == 1


async def test_a_backlog_is_worked_off_within_the_bounds(rig: Rig):
    """Latest wins: most are superseded, each with its receipt; calls are made for few."""
    commands = [rig.command(BinanceUsdm(symbol=f"SIM{number % 50}USDT"), 1 + number % 99) for number in range(BACKLOG)]
    calls = len(rig.calls())
    for start in range(0, len(commands), 2_000):
        await rig.send(*commands[start : start + 2_000])
    settings = rig.settings(pipeline={"max_incomplete": 500})
    async with rig.gateway(settings) as gateway, watched(gateway) as watch:
        await rig.answers(*commands, patience=60)
        await rig.settled()
    assert len(rig.events(*commands)) == len(commands)
    assert watch.incomplete <= 500 + FETCH_RECORDS
    assert watch.lanes <= 51
    assert len(rig.calls()) - calls < len(commands) / 2
    final = {f"binance_usdm:desk-1:SIM{number % 50}USDT": str(1 + number % 99) for number in range(BACKLOG)}
    assert {lane: value for lane, value in rig.simulator.state().items() if lane in final} == final
