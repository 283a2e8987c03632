"""A venue's clock: the middle of the round trip, one request for all who ask at once, and the old offset on failure."""

import asyncio

import pytest

from gateway.calls.venue_clock import VenueClock
from gateway.outcomes import Ambiguous, Unavailable
from gateway.transport.messages import HttpReply, HttpRequest
from tests.clocks import FakeClock
from tests.venues.asking import VENUES, said

USDM = VENUES["binance_usdm"]


class Distant:
    """A venue whose clock is ahead, at the end of a long way."""

    def __init__(self, clock: FakeClock, *, ahead: float = 0.0, there: float = 0.0, back: float = 0.0) -> None:
        self.clock, self.ahead, self.there, self.back = clock, ahead, there, back
        self.asked: list[HttpRequest] = []
        self.instead: HttpReply | Unavailable | Ambiguous | None = None
        self.hold: asyncio.Event | None = None

    async def send(self, request: HttpRequest) -> HttpReply | Unavailable | Ambiguous:
        self.asked.append(request)
        self.clock.advance(self.there)
        told_ms = round((self.clock.wall() + self.ahead) * 1000)
        self.clock.advance(self.back)
        if self.hold is not None:
            await self.hold.wait()
        return self.instead or said(200, {"serverTime": told_ms})


async def test_the_offset_is_taken_at_the_middle_of_the_round_trip(clock):
    venue = Distant(clock, ahead=37.0, there=0.2, back=0.2)
    measured = VenueClock(USDM, venue, clock)
    assert await measured.measure()
    assert measured.offset == pytest.approx(37.0, abs=0.001)
    assert measured.timestamp_ms() == pytest.approx((clock.wall() + 37.0) * 1000, abs=1)


async def test_an_uneven_way_is_wrong_by_half_of_its_unevenness_at_most(clock):
    measured = VenueClock(USDM, Distant(clock, there=0.8), clock)
    assert await measured.measure()
    assert abs(measured.offset) <= 0.4 + 0.001


async def test_before_the_first_measurement_our_own_clock_holds(clock):
    assert VenueClock(USDM, Distant(clock), clock).timestamp_ms() == int(clock.wall() * 1000)


@pytest.mark.parametrize("instead", [Unavailable(), Ambiguous(), said(429, {}), said(200, b"<html>")])
async def test_where_the_venue_does_not_tell_the_old_offset_stays(clock, instead):
    venue = Distant(clock, ahead=5.0)
    measured = VenueClock(USDM, venue, clock)
    assert await measured.measure()
    venue.instead = instead
    assert not await measured.measure()
    assert measured.offset == pytest.approx(5.0, abs=0.001)


@pytest.mark.parametrize("instead", [None, Unavailable()])
async def test_all_who_ask_at_once_share_one_request_and_what_became_of_it(clock, instead):
    venue = Distant(clock)
    venue.hold, venue.instead = asyncio.Event(), instead
    measured = VenueClock(USDM, venue, clock)
    asking = [asyncio.ensure_future(measured.measure()) for _ in range(20)]
    await asyncio.sleep(0)
    venue.hold.set()
    assert await asyncio.gather(*asking) == [instead is None] * 20
    assert len(venue.asked) == 1
    assert await measured.measure() == (instead is None)
    assert len(venue.asked) == 2


async def test_where_the_asker_gives_up_the_next_one_asks_itself(clock):
    venue = Distant(clock)
    venue.hold = asyncio.Event()
    measured = VenueClock(USDM, venue, clock)
    first, second = (asyncio.ensure_future(measured.measure()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    venue.hold.set()
    assert await second
    assert len(venue.asked) == 2


async def test_the_request_shows_no_key(clock):
    for venue in VENUES.values():
        distant = Distant(clock)
        await VenueClock(venue, distant, clock).measure()
        assert distant.asked[0].headers == {}
        assert distant.asked[0].target == venue.server_time().path
