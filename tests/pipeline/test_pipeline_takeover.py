"""What a predecessor may have sent: only a lane's oldest, and how it is told what became of it."""

import asyncio

import pytest

from gateway.outcomes import Ambiguous
from gateway.ownership.lease import quarantine
from schemas import BinanceUsdm
from tests.pipeline.paper import Bench, Script, incoming, on_virtual_time

SET = "POST lane=BTCUSDT&leverage="
LOOK = "GET lane=BTCUSDT"


def requests(bench):
    return [request for _, request in bench.script.sent]


def after_takeover(*script, latest_wins=True, **more):
    """A lane in which a predecessor may have sent the first command, and a newer one waits; both answered."""
    benches = []

    async def main(world):
        bench = Bench(world, Script(*script), latest_wins=latest_wins, **more)
        benches.append(bench)
        first = incoming(1)
        first.doubtful = True
        lane = bench.admit(first, incoming(2))
        await bench.executor.answer_next(lane)
        await bench.executor.answer_next(lane)

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


async def slot_taken(bench):
    """Somebody else has the venue's only slot, for a second."""
    other = bench.admit(incoming(9, target=BinanceUsdm(symbol="ETHUSDT")))
    busy = asyncio.create_task(bench.executor.answer_next(other))
    await asyncio.sleep(0.1)
    return busy


async def held_turn(bench):
    """A command whose turn comes with the slot, while an older one's answer is on its way: its lane, that, and tasks."""
    busy = await slot_taken(bench)
    lane = bench.admit(incoming(1))
    waiting = asyncio.create_task(bench.executor.answer_next(lane))
    await asyncio.sleep(0.1)
    lane.answered = asyncio.get_running_loop().create_future()
    return lane, lane.answered, busy, waiting


def test_what_is_overtaken_while_it_waits_for_its_turn_gives_the_turn_back():
    async def main(world):
        bench = Bench(world, Script(1.0, (200, "9"), (200, "7")), slots=1)
        first = incoming(1)
        first.doubtful = True
        busy = await slot_taken(bench)
        lane = bench.admit(first)
        waiting = asyncio.create_task(bench.executor.answer_next(lane))
        await asyncio.sleep(0.1)
        bench.admit(incoming(2))
        await asyncio.gather(busy, waiting)
        await bench.executor.answer_next(lane)
        assert bench.told == [("c9", "changed"), ("c1", "superseded"), ("c2", "changed")]
        assert requests(bench)[1:] == [LOOK, SET + "2"]

    on_virtual_time(main)


def test_a_command_is_not_sent_before_older_ones_of_its_lane_have_their_committed_answers():
    async def main(world):
        bench = Bench(world, Script())
        committed = asyncio.get_running_loop().create_future()
        lane = bench.admit(incoming(1))
        lane.answered = committed
        answering = asyncio.create_task(bench.executor.answer_next(lane))
        await asyncio.sleep(5.0)
        assert requests(bench) == []
        committed.set_result(None)
        await answering
        assert requests(bench) == [SET + "1"]

    on_virtual_time(main)


def test_one_whose_turn_came_still_gives_way_until_older_answers_are_committed_but_not_for_ever():
    async def main(world):
        bench, loop = Bench(world, Script()), asyncio.get_running_loop()

        def commit_in_ten_milliseconds(answer):
            bench.settle(answer)
            committed = loop.create_future()
            loop.call_later(0.01, committed.set_result, None)
            return committed

        bench.executor._settle = commit_in_ten_milliseconds
        bench.admit(incoming(1))
        lane = bench.admit(incoming(2))
        serving = asyncio.create_task(bench.executor.answer_next(lane))
        await asyncio.sleep(0.005)
        bench.admit(incoming(3))
        await serving
        assert requests(bench) == [SET + "3"]
        for number in range(4, 504):
            bench.admit(incoming(number))
            serving = asyncio.create_task(bench.executor.answer_next(lane)) if serving.done() else serving
            await asyncio.sleep(0.004)
        await serving
        assert 20 <= len(requests(bench)) <= 40, "in two seconds"

    on_virtual_time(main)


def test_one_that_waits_long_for_an_older_ones_answer_gives_way_to_a_newer_one():
    async def main(world):
        bench = Bench(world, Script(1.0, (200, "9")), slots=1)
        lane, committed, busy, waiting = await held_turn(bench)
        await asyncio.sleep(2.0)
        bench.admit(incoming(2))
        lane.answered = committed
        await asyncio.sleep(2.0)
        committed.set_result(None)
        await asyncio.gather(busy, waiting)
        assert bench.told == [("c9", "changed"), ("c1", "superseded"), ("c2", "changed")]
        assert requests(bench)[1:] == [SET + "2"]

    on_virtual_time(main)


@pytest.mark.parametrize("after", [0.01, 0.5])
def test_a_turn_that_is_held_when_its_partition_is_lost_is_given_back(after):
    async def main(world):
        bench = Bench(world, Script(1.0, (200, "9")), slots=1)
        _, _, busy, waiting = await held_turn(bench)
        await busy
        await asyncio.sleep(after)
        waiting.cancel()
        await asyncio.wait([waiting])
        other = bench.admit(incoming(8, target=BinanceUsdm(symbol="ETHUSDT")))
        await bench.executor.answer_next(other)
        assert bench.told == [("c9", "changed"), ("c8", "changed")]

    on_virtual_time(main)


def test_a_turn_whose_scope_froze_while_an_older_answer_was_on_its_way_is_given_back():
    async def main(world):
        bench = Bench(world, Script(1.0, (200, "9")), slots=1)
        _, committed, busy, waiting = await held_turn(bench)
        await asyncio.sleep(1.0)
        bench.permits.throttle("binance_usdm", "a", None, bench.clock.monotonic() + 30.0)
        committed.set_result(None)
        await asyncio.gather(busy, waiting)
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
        lane = bench.admit(incoming(1), incoming(2))
        await bench.executor.answer_next(lane)
        await bench.executor.answer_next(lane)
        assert bench.told == [("c1", "outcome_unknown"), ("c2", "changed")]
        assert times[1] >= times[0] + 1.0

    on_virtual_time(main)


@pytest.mark.parametrize(("static", "seconds"), [(False, 15.0), (True, 40.0)])
def test_a_process_that_gets_the_partition_at_once_waits_until_no_call_under_its_predecessors_lease_takes_effect(
    static, seconds
):
    assert quarantine(15.0, 5.0, 30.0, static=static) == seconds
