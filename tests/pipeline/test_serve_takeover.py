"""What a predecessor may have sent: only a lane's oldest, and how it is told what became of it."""

import asyncio

import pytest

from gateway.outcomes import Ambiguous
from gateway.ownership.lease import Afterlife, afterlife
from schemas import BinanceUsdm
from tests.kit.bench import Bench, Script, incoming, requests
from tests.kit.world import on_virtual_time

SET = "POST lane=BTCUSDT&leverage="
LOOK = "GET lane=BTCUSDT"


def after_takeover(*script, latest_wins=True, **more):
    """A lane in which a predecessor may have sent the first command, and a newer one waits; both answered."""
    benches = []

    async def main(world):
        bench = Bench(world, Script(*script), latest_wins=latest_wins, **more)
        benches.append(bench)
        bench.admit(incoming(1), incoming(2), is_inherited=True)
        await bench.all_told()

    on_virtual_time(main)
    return benches[0]


def test_what_a_predecessor_may_have_sent_and_nobody_wants_any_more_is_not_sent_but_asked_for():
    bench = after_takeover((200, "7"))
    assert bench.told == [("c1", "superseded"), ("c2", "changed")]
    assert requests(bench) == [LOOK, SET + "2"]
    assert bench.answers[0].event.superseded_by == "c2"


def test_what_a_predecessor_did_send_is_told_as_changed_before_the_newer_is_sent():
    bench = after_takeover((200, "1"))
    assert bench.told == [("c1", "changed"), ("c2", "changed")]
    assert bench.answers[0].event.certainty == "read_back"
    assert requests(bench) == [LOOK, SET + "2"]


@pytest.mark.parametrize("more", [{"reads_back": False}, {"latest_wins": False}])
def test_where_the_venue_cannot_be_asked_or_each_command_counts_it_is_sent_again(more):
    bench = after_takeover(**more)
    assert bench.told == [("c1", "changed"), ("c2", "changed")]
    assert requests(bench) == [SET + "1", SET + "2"]


def test_where_the_venue_does_not_tell_it_is_sent_again_after_one_look():
    bench = after_takeover((503, "unavailable"))
    assert bench.told == [("c1", "changed"), ("c2", "changed")]
    assert requests(bench) == [LOOK, SET + "1", SET + "2"]


OTHER = BinanceUsdm(symbol="ETHUSDT")


async def slot_taken(bench):
    """Somebody else has the venue's only slot, for a second."""
    bench.admit(incoming(9, target=OTHER))
    await asyncio.sleep(0.1)


async def with_a_permit(bench):
    """A command that is permitted while the answer of the one that it took the place of is on its way to the log."""
    await slot_taken(bench)
    bench.commit_delay = None
    bench.admit(incoming(1))
    await asyncio.sleep(0.1)
    bench.admit(incoming(2))
    await asyncio.sleep(0.9)
    assert bench.told == [("c1", "superseded"), ("c9", "changed")]


def test_what_is_overtaken_while_it_waits_for_its_turn_gives_the_turn_back():
    async def main(world):
        bench = Bench(world, Script(1.0, (200, "9"), (200, "7")), slots=1)
        await slot_taken(bench)
        bench.admit(incoming(1), is_inherited=True)
        await asyncio.sleep(0.1)
        bench.admit(incoming(2))
        await bench.all_told()
        assert bench.told == [("c9", "changed"), ("c1", "superseded"), ("c2", "changed")]
        assert requests(bench)[1:] == [LOOK, SET + "2"]

    on_virtual_time(main)


def test_a_command_is_not_sent_before_older_ones_of_its_lane_have_their_committed_answers():
    async def main(world):
        bench = Bench(world, Script())
        bench.commit_delay = None
        bench.admit(incoming(1), incoming(2))
        await asyncio.sleep(5.0)
        assert requests(bench) == []
        bench.commit()
        await asyncio.sleep(0.1)
        assert requests(bench) == [SET + "2"]

    on_virtual_time(main)


def test_one_whose_turn_came_still_gives_way_until_older_answers_are_committed_but_not_for_ever():
    async def main(world):
        bench = Bench(world, Script())
        bench.commit_delay = 0.01
        bench.admit(incoming(1), incoming(2))
        await asyncio.sleep(0.005)
        bench.admit(incoming(3))
        await asyncio.sleep(0.1)
        assert requests(bench) == [SET + "3"]
        for number in range(4, 504):
            bench.admit(incoming(number))
            await asyncio.sleep(0.004)
        await bench.all_told()
        assert 20 <= len(requests(bench)) <= 40, "in two seconds"

    on_virtual_time(main)


def test_one_that_waits_long_for_an_older_ones_answer_gives_way_to_a_newer_one():
    async def main(world):
        bench = Bench(world, Script(1.0, (200, "9")), slots=1)
        await with_a_permit(bench)
        await asyncio.sleep(2.0)
        bench.admit(incoming(3))
        await asyncio.sleep(2.0)
        assert bench.told == [("c1", "superseded"), ("c9", "changed"), ("c2", "superseded")]
        bench.commit()
        await asyncio.sleep(1.0)
        assert requests(bench)[1:] == [SET + "3"]

    on_virtual_time(main)


@pytest.mark.parametrize("after", [0.01, 0.5, 3.0])
def test_what_is_held_when_its_partition_is_lost_is_given_back(after):
    async def main(world):
        bench = Bench(world, Script(1.0, (200, "9")), slots=1)
        await with_a_permit(bench)
        await asyncio.sleep(after)
        bench.lanes.close()
        await bench.caller.turn("a", bench.venue.set_leverage(incoming(8).command)).wait()

    on_virtual_time(main)


@pytest.mark.parametrize("after", [0.01, 0.5])
def test_a_place_in_line_is_given_back_when_its_partition_is_lost(after):
    async def main(world):
        bench = Bench(world, Script(1.0, (200, "9")), slots=1)
        await slot_taken(bench)
        bench.admit(incoming(1))
        await asyncio.sleep(after)
        bench.lanes.close()
        assert [scope.used for scope in bench.permits.snapshot()] == [1], "the permit of the call under way"
        await bench.caller.turn("a", bench.venue.set_leverage(incoming(8).command)).wait()
        assert len(requests(bench)) == 1

    on_virtual_time(main)


def test_a_permit_whose_scope_froze_while_an_older_answer_was_on_its_way_is_given_back():
    async def main(world):
        bench = Bench(world, Script(1.0, (200, "9")), slots=1)
        await with_a_permit(bench)
        bench.permits.throttle("binance_usdm", "a", None, bench.clock.monotonic() + 30.0)
        bench.commit()
        await asyncio.sleep(60.0)
        assert bench.script.sent[1][0] >= 30.0

    on_virtual_time(main)


def test_an_answer_is_told_when_a_call_that_was_cut_off_can_no_longer_arrive():
    async def main(world):
        bench = Bench(world, Script(Ambiguous(message="reset"), (200, "1")))
        await bench.answer(incoming(1))
        assert bench.told == [("c1", "changed")]
        assert world.now >= 1.0

    on_virtual_time(main)


def test_after_an_error_in_the_middle_of_a_call_the_lane_waits_until_it_can_no_longer_take_effect():
    async def main(world):
        bench = Bench(world, Script(), latest_wins=False, reads_back=False)
        send, times = bench.script.send, []

        async def broken(request):
            times.append(world.now)
            if len(times) == 1:
                raise ValueError("the parser broke after the bytes were sent")
            return await send(request)

        bench.script.send = broken
        bench.admit(incoming(1), incoming(2))
        await bench.all_told()
        assert bench.told == [("c1", "outcome_unknown"), ("c2", "changed")]
        assert times[1] >= times[0] + 1.0

    on_virtual_time(main)


def test_a_process_that_gets_the_partition_at_once_waits_out_its_predecessors_lease():
    calls = [(5.0, 15.0), (1.0, 11.5)]
    dynamic, static = (afterlife(8.0, calls, static=static) for static in (False, True))
    assert dynamic == Afterlife(starts=0.0, arrives=5.0, takes_effect=15.0)
    assert static == Afterlife(starts=7.0, arrives=8.0, takes_effect=18.5)
