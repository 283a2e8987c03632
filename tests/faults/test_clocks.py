"""A machine whose wall clock is wrong sends nothing that has expired, and refuses nothing that has not."""

import asyncio

import pytest

from schemas import LeverageRejected, VenueName
from tests.faults.desk import Desk, open_desk
from tests.kit.jumping import JumpingLoop, clock, jumping_over_sockets

HOUR = 3600.0
VENUES: tuple[VenueName, ...] = ("binance_usdm", "binance_portfolio", "okx")


class WrongClock:
    """The loop's time, with a wall clock that somebody has set."""

    def __init__(self, right: JumpingLoop, ahead: float) -> None:
        self._right = right
        self.ahead = ahead

    def monotonic(self) -> float:
        return self._right.monotonic()

    def wall(self) -> float:
        return self._right.wall() + self.ahead


async def told(desk: Desk, venue: VenueName, expires_in: float) -> str:
    event = await desk.ask(venue, expires_in=expires_in)
    return event.reason if isinstance(event, LeverageRejected) else "changed"


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
@pytest.mark.parametrize("venue", VENUES)
@jumping_over_sockets
async def test_deadlines_hold_by_the_venues_clock_whatever_ours_says(venue: VenueName, ahead: float):
    async with open_desk(clock(), [("desk", venue)], ours=WrongClock(clock(), ahead)) as desk:
        assert await told(desk, venue, expires_in=-1800.0) == "expired"
        assert desk.calls(venue) == []
        assert await told(desk, venue, expires_in=30.0) == "changed"
        assert [call.verdict for call in desk.calls(venue)] == ["applied"]


@pytest.mark.parametrize("step", [-HOUR, HOUR])
@jumping_over_sockets
async def test_a_wall_clock_that_is_set_while_we_run_changes_nothing(step: float):
    ours = WrongClock(clock(), 0.0)
    async with open_desk(clock(), [("desk", "okx")], ours=ours) as desk:
        watching = asyncio.create_task(desk.gateway.clock_watch.run())
        ours.ahead = step
        for pause in (0.0, 10.0):
            await asyncio.sleep(pause)
            assert await told(desk, "okx", expires_in=-1800.0) == "expired"
            assert await told(desk, "okx", expires_in=30.0) == "changed"
        assert {call.verdict for call in desk.calls("okx")} == {"applied"}
        assert desk.gateway.callers["okx"].clock_offset == pytest.approx(-step, abs=0.01)
        watching.cancel()
        await asyncio.wait([watching])


@jumping_over_sockets
async def test_what_waits_in_line_past_its_deadline_is_not_sent_though_our_clock_is_behind():
    async with open_desk(clock(), [("desk", "okx")], ours=WrongClock(clock(), -HOUR)) as desk:
        desk.fault("too_many", "okx", calls=1)
        assert await told(desk, "okx", expires_in=1.0) == "rate_limited"
        await asyncio.sleep(10.0)
        assert len(desk.calls("okx")) == 1
