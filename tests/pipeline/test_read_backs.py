"""A lane that waits to be read back holds a place in line, for so long, and no task."""

import asyncio

from gateway.limits.permits import LONG_FREEZE
from schemas import BinanceUsdm
from tests.kit.bench import Bench, Script, incoming
from tests.kit.world import on_virtual_time

LANES = 20


def inherited(number, *, deadline=60.0):
    """Two commands of a lane of its own: the first may have been sent by a predecessor, and is looked for."""
    target = BinanceUsdm(symbol=f"S{number}USDT")
    return [incoming(2 * number + turn, target=target, deadline=deadline) for turn in (0, 1)]


def looks(bench):
    return [at for at, request in bench.script.sent if request.startswith("GET")]


def test_who_waits_for_a_permit_to_look_holds_no_task_and_all_are_looked_for_in_turn():
    async def main(world):
        bench = Bench(world, Script(), capacity=2, latest_wins=True)
        for number in range(LANES):
            bench.admit(*inherited(number), is_inherited=True)
        before = len(asyncio.all_tasks())
        await asyncio.sleep(0.5)
        assert len(bench.tasks) <= 2
        assert len(asyncio.all_tasks()) <= before
        await bench.all_told()
        assert len(looks(bench)) == LANES

    on_virtual_time(main)


def test_who_gets_no_permit_in_time_has_not_been_told_and_goes_on():
    async def main(world):
        bench = Bench(world, Script(), capacity=10)
        bench.permits.throttle("binance_usdm", "a", None, 30.0)
        bench.admit(*inherited(1, deadline=20.0), is_inherited=True)
        await bench.all_told()
        assert looks(bench) == []
        assert [reason for _, reason in bench.told] == ["outcome_unknown", "rate_limited"]

    on_virtual_time(main)


def test_who_has_a_permit_and_no_lease_gives_it_back_and_asks_again():
    async def main(world):
        bench = Bench(world, Script((200, "7")), slots=1)
        bench.leased = False
        bench.admit(*inherited(1), is_inherited=True)
        await asyncio.sleep(3.0)
        assert bench.script.sent == []
        bench.leased = True
        await bench.all_told()
        assert looks(bench) != []
        assert looks(bench)[0] >= 3.0

    on_virtual_time(main)


def test_a_long_freeze_sends_nobody_away_for_good():
    async def main(world):
        bench = Bench(world, Script((200, "7")), capacity=1)
        bench.permits.throttle("binance_usdm", "a", None, LONG_FREEZE / 2)
        bench.admit(*inherited(1), is_inherited=True)
        bench.permits.throttle("binance_usdm", "a", None, 5.0)
        await bench.all_told()
        assert looks(bench) != []
        assert looks(bench)[0] >= 5.0

    on_virtual_time(main)


def test_what_is_closed_leaves_every_line_and_tells_nobody():
    async def main(world):
        bench = Bench(world, Script(), capacity=10)
        bench.permits.throttle("binance_usdm", "a", None, 5.0)
        bench.admit(*inherited(1), is_inherited=True)
        bench.lanes.close()
        await asyncio.sleep(60.0)
        assert bench.script.sent == []
        assert bench.told == []
        assert all(scope.waiting == 0 for scope in bench.permits.snapshot())

    on_virtual_time(main)
