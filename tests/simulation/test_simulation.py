"""Whole deployments on virtual time: no seed may break a promise, and every seed tells the same story twice.

`python -m tests.simulation --seeds 100000` runs as many as you like; a broken one is repeated with `--start SEED --seeds 1`.
"""

import asyncio

import pytest

from tests.kit.world import Process, World
from tests.simulation.scenario import simulate

SEEDS = 200
GROUPS = 4


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS // GROUPS))
def test_no_promise_is_broken(first):
    broken = [verdict for seed in range(first, first + SEEDS // GROUPS) if (verdict := simulate(seed)).broken]
    assert not broken, "\n".join(map(str, broken))


def test_a_seed_tells_the_same_story_again():
    for seed in (3, 7, 91):
        assert simulate(seed).told == simulate(seed).told


def test_different_seeds_tell_different_stories():
    assert simulate(1).told.calls != simulate(2).told.calls


def test_the_seeds_cover_what_can_go_wrong():
    told = [simulate(seed).told for seed in range(130)]
    verdicts = {call.verdict for one in told for call in one.calls}
    assert {"applied", "fault", "clock", "refused"} <= verdicts
    said = b"".join(record.value or b"" for one in told for record in one.events)
    for reason in (
        b"superseded",
        b"expired",
        b"venue_rejected",
        b"unknown_account",
        b"rate_limited",
        b"outcome_unknown",
    ):
        assert reason in said, reason
    assert b"read_back" in said


class Story:
    """What a process wrote down, with the times."""

    def __init__(self, world: World) -> None:
        self.world, self.lines = world, []

    def tell(self, line: str) -> None:
        self.lines.append((self.world.now, line))

    async def count(self) -> None:
        for number in range(4):
            self.tell(str(number))
            await asyncio.sleep(1.0)


def started(world, coroutine) -> Process:
    process = Process(world, "p")
    process.call_soon(lambda: process.create_task(coroutine))
    return process


def test_time_jumps_from_timer_to_timer():
    world = World(0)
    story = Story(world)
    started(world, story.count())
    world.run(10.0)
    assert story.lines == [(0.0, "0"), (1.0, "1"), (2.0, "2"), (3.0, "3")]
    assert world.now == 10.0


def test_a_killed_process_never_runs_again_not_even_its_cleaning_up():
    world = World(0)
    story = Story(world)

    async def careful():
        try:
            await story.count()
        finally:
            story.tell("cleaned up")

    process = started(world, careful())
    world.after(1.5, process.kill)
    world.run(10.0)
    assert [line for _, line in story.lines] == ["0", "1"]
    process.bury()


def test_a_stopped_process_finds_its_timers_due_when_it_goes_on():
    world = World(0)
    story = Story(world)
    process = started(world, story.count())
    world.after(0.5, process.stop_signal)
    world.after(5.5, process.continue_signal)
    world.run(10.0)
    assert story.lines == [(0.0, "0"), (5.5, "1"), (6.5, "2"), (7.5, "3")]


def test_a_fuse_ends_a_process_between_any_two_steps():
    world = World(0)
    story = Story(world)

    async def steps():
        for number in range(9):
            story.tell(str(number))
            await asyncio.sleep(0)

    process = started(world, steps())
    process.fuse, process.blow = 3, process.kill
    world.run(1.0)
    assert [line for _, line in story.lines] == ["0", "1", "2"]
    process.bury()
