"""What venues say of limits is heeded where it says too little, too, and before the first command."""

import asyncio
from itertools import pairwise

import pytest

from gateway.limits.bucket import KEPT_BACK
from gateway.simulator import Simulator
from gateway.simulator.gate import Cost
from schemas import VenueName
from tests.faults.desk import Desk, open_desk, target
from tests.kit.clocks import NOON
from tests.kit.jumping import clock, jumping_over_sockets

ADDRESS = "127.0.0.1"
BANNING: tuple[VenueName, ...] = ("binance_usdm", "binance_portfolio", "ztdx")


def gaps(desk: Desk, venue: VenueName) -> list[float]:
    times = [call.received_at for call in desk.calls(venue)]
    return [later - earlier for earlier, later in pairwise(times)]


@pytest.mark.parametrize("fault", ["too_many", "ban"])
@pytest.mark.parametrize("venue", BANNING)
@jumping_over_sockets
async def test_a_limit_that_says_come_back_at_once_is_not_asked_at_once(venue: VenueName, fault: str):
    async with open_desk(clock(), [("desk", venue)]) as desk:
        desk.fault(fault, venue, seconds=0 if fault == "too_many" else -30)
        desk.feed(*(desk.command(target(venue, n), expires_in=100.0) for n in range(20)))
        await asyncio.sleep(110.0)
        found = gaps(desk, venue)
        together = [gap for gap in found[:19] if gap < 0.5]  # those that were under way with the first
        assert found[len(together) :] == pytest.approx([1.0, 2.0, 4.0, 8.0, 16.0, 32.0], abs=0.2)


@jumping_over_sockets
async def test_after_a_call_that_is_let_through_the_floor_begins_anew():
    async with open_desk(clock(), [("desk", "binance_usdm")]) as desk:
        for _ in range(3):
            desk.fault("too_many", "binance_usdm", seconds=0, calls=2)
            await desk.ask("binance_usdm")
        assert gaps(desk, "binance_usdm")[:2] == pytest.approx([1.0, 2.0], abs=0.1)
        assert gaps(desk, "binance_usdm")[3:5] == pytest.approx([1.0, 2.0], abs=0.1)


@jumping_over_sockets
async def test_accounts_with_one_key_share_one_budget():
    async with open_desk(clock(), [("desk", "okx"), ("other", "okx")], twins={"twin": "desk"}) as desk:
        answers = [
            answer
            for name in ("desk", "twin", "other")
            for answer in desk.feed(*(desk.command(target("okx", n), account=name) for n in range(40)))
        ]
        await asyncio.gather(*answers)
        assert desk.refused_for_limits() == []
        assert len(desk.calls("okx")) == 120


@pytest.mark.parametrize("venue", ["binance_margin", *BANNING])
@jumping_over_sockets
async def test_within_a_ban_a_start_asks_once_and_then_nothing_until_it_ends(venue: VenueName):
    banned, begun = 90.0, clock().wall()

    def ban(simulator: Simulator) -> None:
        simulator.gate.ban(venue, ADDRESS, begun + banned)

    async with open_desk(clock(), [("desk", venue)], warm=0.0, knows_clocks=False, prepare=ban) as desk:
        keeping = asyncio.create_task(desk.gateway.published_limits.run())
        watching = asyncio.create_task(desk.gateway.clock_watch.run())
        answer = desk.feed(desk.command(venue, expires_in=300.0))[0]
        await asyncio.sleep(begun + banned - 1.0 - clock().wall())
        assert desk.requests[venue] == 1
        await answer
        assert desk.final(venue) == "5"
        for task in (keeping, watching):
            task.cancel()
        await asyncio.wait([keeping, watching])


@pytest.mark.parametrize(("venue", "capacity"), [("binance_usdm", 2400), ("binance_portfolio", 6000)])
@jumping_over_sockets
async def test_in_a_minute_that_an_earlier_life_has_spent_the_first_call_tells_it_and_the_rest_wait(
    venue: VenueName, capacity: int
):
    def spend(simulator: Simulator) -> None:
        weight = capacity - capacity // KEPT_BACK  # the most that one life of ours spends
        cost = (Cost("ip_weight", weight),)
        simulator.gate.admit(venue, cost, ip=ADDRESS, account="", now=clock().wall(), skew=0.0)

    async with open_desk(clock(), [("desk", venue)], warm=0.0, prepare=spend) as desk:
        keeping = asyncio.create_task(desk.gateway.published_limits.run())
        commands = [desk.command(target(venue, n), expires_in=300.0) for n in range(200)]
        await asyncio.gather(*desk.feed(*commands))
        assert desk.refused_for_limits() == []
        assert [reading.over for reading in desk.simulator.gate.readings(clock().wall())] == [0]
        assert desk.calls(venue)[0].received_at >= NOON + 60.0
        keeping.cancel()
        await asyncio.wait([keeping])
