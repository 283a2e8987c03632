"""A venue's clock: its round trip, one request for all who ask at once, and the old offset on failure."""

import asyncio

import pytest

from gateway.calls.venue_caller import PublicReply
from gateway.calls.venue_clock import LONGEST_ROUND_TRIP, VenueClock
from gateway.transport.messages import HttpReply
from tests.kit.clocks import FakeClock
from tests.venues.asking import VENUES, said

USDM = VENUES["binance_usdm"]


class Distant:
    """A venue whose clock is ahead, at the end of a long way."""

    def __init__(self, clock: FakeClock, *, ahead: float = 0.0, there: float = 0.0, back: float = 0.0) -> None:
        self.clock, self.ahead, self.there, self.back = clock, ahead, there, back
        self.asked = 0
        self.instead: HttpReply | None = None
        self.silent = False
        self.hold: asyncio.Event | None = None

    async def ask(self) -> PublicReply | None:
        self.asked += 1
        begun = self.clock.monotonic()
        self.clock.advance(self.there)
        told_ms = round((self.clock.wall() + self.ahead) * 1000)
        self.clock.advance(self.back)
        if self.hold is not None:
            await self.hold.wait()
        answer = self.instead or said(200, {"serverTime": told_ms})
        return None if self.silent else PublicReply(answer, begun, self.clock.monotonic())


async def test_the_offset_is_taken_at_the_middle_of_the_round_trip(clock):
    venue = Distant(clock, ahead=37.0, there=0.2, back=0.2)
    measured = VenueClock(USDM, clock)
    assert await measured.measure(venue.ask)
    assert measured.offset == pytest.approx(37.0, abs=0.001)
    assert measured.wall() == pytest.approx(clock.wall() + 37.0, abs=0.001)


@pytest.mark.parametrize(("there", "back"), [(0.8, 0.0), (0.4, 0.4), (0.0, 0.8)])
async def test_what_is_signed_is_never_ahead_of_the_venue_so_it_is_taken_for_the_receive_window_and_no_longer(
    clock, there, back
):
    venue = Distant(clock, ahead=37.0, there=there, back=back)
    measured = VenueClock(USDM, clock)
    assert await measured.measure(venue.ask)
    late_by = clock.wall() + 37.0 - measured.timestamp_ms() / 1000
    assert 0.0 <= late_by <= back + 0.002


async def test_an_uneven_way_is_wrong_by_half_of_its_unevenness_at_most(clock):
    venue = Distant(clock, there=0.8)
    measured = VenueClock(USDM, clock)
    assert await measured.measure(venue.ask)
    assert abs(measured.offset) <= 0.4 + 0.001


async def test_an_answer_that_took_too_long_tells_nothing(clock):
    venue = Distant(clock, ahead=37.0, back=LONGEST_ROUND_TRIP + 0.01)
    measured = VenueClock(USDM, clock)
    assert not await measured.measure(venue.ask)
    assert measured.offset is None


async def test_before_the_first_measurement_our_own_clock_holds(clock):
    assert VenueClock(USDM, clock).timestamp_ms() == int(clock.wall() * 1000)


@pytest.mark.parametrize("instead", [None, said(429, {}), said(200, b"<html>")])
async def test_where_the_venue_does_not_tell_the_old_offset_stays(clock, instead):
    venue = Distant(clock, ahead=5.0)
    measured = VenueClock(USDM, clock)
    assert await measured.measure(venue.ask)
    venue.instead, venue.silent = instead, instead is None
    assert not await measured.measure(venue.ask)
    assert measured.offset == pytest.approx(5.0, abs=0.001)


@pytest.mark.parametrize("silent", [False, True])
async def test_all_who_ask_at_once_share_one_request_and_what_became_of_it(clock, silent):
    venue = Distant(clock)
    venue.hold, venue.silent = asyncio.Event(), silent
    measured = VenueClock(USDM, clock)
    asking = [asyncio.ensure_future(measured.measure(venue.ask)) for _ in range(20)]
    await asyncio.sleep(0)
    venue.hold.set()
    assert await asyncio.gather(*asking) == [not silent] * 20
    assert venue.asked == 1
    assert await measured.measure(venue.ask) is not silent
    assert venue.asked == 2


async def test_where_the_asker_gives_up_the_next_one_asks_itself(clock):
    venue = Distant(clock)
    venue.hold = asyncio.Event()
    measured = VenueClock(USDM, clock)
    first, second = (asyncio.ensure_future(measured.measure(venue.ask)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    venue.hold.set()
    assert await second
    assert venue.asked == 2


async def test_a_wall_clock_that_is_set_moves_neither_timestamps_nor_deadlines(clock):
    venue = Distant(clock)
    measured = VenueClock(USDM, clock)
    assert await measured.measure(venue.ask)
    for step in (-3600.0, 7200.0):
        before = measured.wall()
        clock.set_wall(step)
        clock.advance(10.0)
        assert measured.wall() == pytest.approx(before + 10.0)
    assert measured.offset == pytest.approx(-3600.0, abs=0.001)
