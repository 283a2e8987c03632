"""Commands of one lane: which one goes, which gives way, and whose deadline counts."""

import asyncio

from gateway.outcomes import Ambiguous, Unavailable
from tests.kit.bench import Bench, Script, incoming, requests, run
from tests.kit.world import on_virtual_time

SET = "POST lane=BTCUSDT&leverage="
LOOK = "GET lane=BTCUSDT"


def test_an_older_command_that_waits_is_superseded_with_the_newers_name_and_never_sent():
    bench = run(commands=[incoming(1), incoming(2), incoming(3)])
    assert bench.told == [("c1", "superseded"), ("c2", "superseded"), ("c3", "changed")]
    superseded = [answer.event for answer in bench.answers[:2]]
    assert [event.superseded_by for event in superseded] == ["c3", "c3"]
    assert requests(bench) == [SET + "3"]


def test_where_latest_does_not_win_every_command_is_sent_also_after_a_retry():
    async def main(world):
        bench = Bench(world, Script((503, "unavailable")), latest_wins=False)
        bench.admit(incoming(1), incoming(2))
        await bench.all_told()
        assert bench.told == [("c1", "changed"), ("c2", "changed")]
        assert requests(bench) == [SET + "1", SET + "1", SET + "2"]

    on_virtual_time(main)


def test_a_command_backing_off_gives_way_to_a_newer_one():
    async def main(world):
        bench = Bench(world, Script(Unavailable(message="later", retry_after=5.0)))
        bench.admit(incoming(1))
        await asyncio.sleep(1.0)
        bench.admit(incoming(2))
        await bench.all_told()
        assert bench.told == [("c1", "superseded"), ("c2", "changed")]
        assert requests(bench) == [SET + "1", SET + "2"]

    on_virtual_time(main)


def test_a_command_of_unknown_outcome_does_not_give_way():
    async def main(world):
        bench = Bench(world, Script(Ambiguous(message="reset")), reads_back=False)
        bench.admit(incoming(1))
        await asyncio.sleep(0.5)
        bench.admit(incoming(2))
        await bench.all_told()
        assert bench.told == [("c1", "changed"), ("c2", "changed")]
        assert requests(bench) == [SET + "1", SET + "1", SET + "2"]

    on_virtual_time(main)


def test_the_deadline_is_the_newest_commands_and_not_the_superseded_ones():
    async def main(world):
        bench = Bench(world, Script())
        bench.leased = False
        bench.admit(incoming(1, deadline=2.0))
        await asyncio.sleep(1.99)
        bench.admit(incoming(2, deadline=9.0))
        await asyncio.sleep(3.0)
        bench.leased = True
        await bench.all_told()
        assert bench.told == [("c1", "superseded"), ("c2", "changed")]

    on_virtual_time(main)


def test_a_newer_command_that_comes_as_the_older_runs_out_of_time_has_its_own_time():
    async def main(world):
        bench = Bench(world, Script())
        bench.leased = False
        asyncio.get_running_loop().call_at(2.0, bench.admit, incoming(2, deadline=9.0))
        asyncio.get_running_loop().call_at(3.0, setattr, bench, "leased", True)
        bench.admit(incoming(1, deadline=2.0))
        await asyncio.sleep(2.5)
        await bench.all_told()
        assert bench.told == [("c1", "superseded"), ("c2", "changed")]

    on_virtual_time(main)
