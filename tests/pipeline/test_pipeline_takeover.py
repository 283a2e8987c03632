"""What a predecessor may have sent: only a lane's oldest, and how it is told what became of it."""

import asyncio

import pytest

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


def test_what_is_overtaken_while_it_waits_for_its_turn_gives_the_turn_back():
    async def main(world):
        bench = Bench(world, Script(1.0, (200, "9"), (200, "7")), slots=1)
        first = incoming(1)
        first.doubtful = True
        other = bench.admit(incoming(9, target=BinanceUsdm(symbol="ETHUSDT")))
        busy = asyncio.create_task(bench.executor.answer_next(other))
        await asyncio.sleep(0.1)
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
