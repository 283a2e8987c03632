"""The line before an open breaker: who waits in it costs nothing, one goes first, and the others follow."""

import asyncio
from itertools import pairwise
from unittest.mock import Mock

from gateway.outcomes import Unavailable
from gateway.transport.messages import HttpReply
from schemas import BinanceUsdm
from tests.kit.bench import Bench, incoming
from tests.kit.world import on_virtual_time

LANES = 300
RESET = 5.0


class Venue:
    """A venue that is silent until it is told to answer; whatever it says takes it 10 ms."""

    def __init__(self) -> None:
        self.is_silent = True
        self.calls = 0

    async def send(self, request):
        self.calls += 1
        await asyncio.sleep(0.01)
        if self.is_silent:
            return Unavailable(message="no connection")
        return HttpReply(
            status=200, headers={}, body=request.target.partition("leverage=")[2].partition("&")[0].encode()
        )


def lanes(count, *, start=0, **more):
    return [incoming(number, target=BinanceUsdm(symbol=f"S{number}"), **more) for number in range(start, start + count)]


async def waiting(world, *first, **more):
    """A bench with many lanes before a breaker that has opened."""
    bench = Bench(world, Venue(), capacity=10**6, breaker_failures=3, breaker_reset=RESET, max_attempts=1000, **more)
    bench.admit(*first, *lanes(LANES, start=len(first) + 1))
    await asyncio.sleep(4)
    assert bench.caller.breakers.open == 1
    return bench


def test_lanes_that_wait_for_a_breaker_hold_no_task_and_no_timer_of_their_own():
    async def main(world):
        bench = await waiting(world)
        assert len(bench.lanes) == LANES
        assert not bench.tasks
        assert world.timers < 10
        bench.lanes.close()

    on_virtual_time(main, until=200)


def test_one_goes_and_finds_out_whether_the_venue_answers_and_the_others_ask_for_nothing_meanwhile():
    async def main(world):
        bench = await waiting(world)
        calls = bench.script.calls
        line_up = bench.permits.line_up = Mock(side_effect=bench.permits.line_up)
        await asyncio.sleep(10 * RESET)
        assert 9 <= bench.script.calls - calls <= 11
        assert line_up.call_count == bench.script.calls - calls
        bench.lanes.close()

    on_virtual_time(main, until=200)


def test_all_follow_in_order_once_the_venue_answers():
    async def main(world):
        bench = await waiting(world, slots=2)
        bench.script.is_silent, began = False, world.now
        await bench.all_told()
        assert {reason for _, reason in bench.told} == {"changed"}
        assert len(bench.told) == LANES
        assert world.now - began < RESET + LANES * 0.011
        told = [int(command_id[1:]) for command_id, _ in bench.told]
        begun_before = 10  # those that opened it backed off, and stand behind the others
        assert sum(later < earlier for earlier, later in pairwise(told)) <= begun_before

    on_virtual_time(main, until=200)


def test_who_went_first_and_left_holds_nobody_up():
    async def main(world):
        bench = await waiting(world, *lanes(20, start=1, deadline=11.0), slots=1)
        taken = bench.caller.turn("b", bench.venue.set_leverage(incoming(1).command))
        permit = await taken.wait()
        line_up = bench.permits.line_up = Mock(side_effect=bench.permits.line_up)
        await asyncio.sleep(20)
        assert len(bench.told) == 20
        assert line_up.call_count <= 4  # one at a time, though none comes as far as the venue
        permit.give_back()
        bench.script.is_silent = False
        await bench.all_told()
        assert len(bench.told) == LANES + 20

    on_virtual_time(main, until=200)


def test_a_crowd_before_a_silent_venue_is_sent_away_when_its_time_comes():
    async def main(world):
        bench = await waiting(world)
        bench.crowded = True
        await asyncio.sleep(RESET)
        assert {reason for _, reason in bench.told} == {"venue_unavailable"}
        assert len(bench.told) == LANES
        bench.lanes.close()

    on_virtual_time(main, until=200)


def test_an_answer_to_a_call_of_another_kind_lets_the_first_find_out_at_once():
    async def main(world):
        bench = await waiting(world)
        calls = bench.script.calls
        bench.caller.breakers.reached("a")
        await asyncio.sleep(0.1)
        assert bench.script.calls == calls + 1
        bench.lanes.close()

    on_virtual_time(main, until=200)
