"""One owned partition at work, full, draining and lost."""

import asyncio

from gateway.ownership.ledger import Checkpoint, LogPosition
from tests.kit.bench import command, record
from tests.pipeline.owner import Topics, owning, symbol


def test_nothing_is_sent_once_the_partition_is_lost_although_the_lease_runs():
    async def scenario(owner):
        owner.topics.held = False
        owner.feed(symbol(0, "X"))
        await asyncio.sleep(5.0)
        assert owner.sent == []

    owning(scenario, Topics())


def test_nothing_is_sent_when_the_lease_is_over_although_nothing_told_of_a_loss():
    async def scenario(owner):
        await asyncio.sleep(9.5)  # a call may take 1 s of the 10 s lease
        owner.feed(symbol(0, "X"))
        await asyncio.sleep(5.0)
        assert owner.sent == []
        owner.lease.renew(owner.bench.clock.monotonic())
        await asyncio.sleep(1.0)
        assert len(owner.sent) == 1

    owning(scenario, Topics())


def test_fetching_pauses_when_full_and_goes_on_when_half_of_it_is_answered():
    async def scenario(owner):
        owner.feed(*(symbol(number, f"S{number}") for number in range(4)))
        assert owner.partition.full
        assert not owner.partition.has_room
        await asyncio.sleep(1.5)
        assert not owner.partition.full
        assert owner.partition.has_room

    owning(scenario, Topics())


def test_a_lane_that_may_not_skip_has_a_bounded_queue_and_the_newest_is_refused():
    async def scenario(owner):
        owner.feed(*(symbol(number, "X") for number in range(4)))
        await asyncio.sleep(5.0)
        assert owner.told == [("c2", "rate_limited"), ("c3", "rate_limited"), ("c0", "changed"), ("c1", "changed")]

    owning(scenario, Topics(), latest_wins=False)


def test_draining_starts_nothing_answers_what_is_in_flight_and_leaves_clean():
    async def scenario(owner):
        owner.feed(symbol(0, "BUSY"))
        await asyncio.sleep(0.2)
        owner.feed(symbol(1, "BUSY"))
        point = await owner.partition.drain(5.0)
        assert owner.told == [("c0", "changed")]
        assert point._replace(called_at=None) == Checkpoint(1, LogPosition(0, 0), clean=True)
        assert len(owner.sent) == 1
        owner.feed(symbol(2, "LATE"))
        assert owner.partition.checkpoint().offset == 1, "what comes while draining is the next owner's"

    owning(scenario, Topics(), 0.5, (200, "0"))


def test_draining_repeats_no_call_however_soon_it_could_be_repeated():
    async def scenario(owner):
        owner.feed(symbol(0, "X"))
        await asyncio.sleep(0.2)
        point = await owner.partition.drain(5.0)
        assert len(owner.sent) == 1
        assert owner.told == []
        assert point.offset == 0

    owning(scenario, Topics(), 0.37, (400, "timestamp"))


def test_draining_has_a_bound_and_what_is_still_in_flight_makes_it_unclean():
    async def scenario(owner):
        owner.feed(symbol(0, "STUCK"))
        await asyncio.sleep(0.1)
        point = await owner.partition.drain(0.5)
        assert (point.offset, point.clean) == (0, False)

    owning(scenario, Topics(), 50.0, (200, "0"))


def test_leaving_during_the_quarantine_is_not_clean():
    async def scenario(owner):
        point = await owner.partition.drain(0.5)
        assert not point.clean

    owning(scenario, Topics(Checkpoint(1, LogPosition(0, 0), clean=False), end=1), quarantine=5.0)


def test_where_there_was_no_command_nobody_can_have_been_called_for_one_and_leaving_at_once_is_clean():
    async def scenario(owner):
        point = await owner.partition.drain(0.5)
        assert point.clean

    owning(scenario, Topics(Checkpoint(0, LogPosition(0, 0), clean=False), end=0), quarantine=5.0)


def test_leaving_without_having_seen_all_that_a_predecessor_may_have_sent_is_not_clean():
    async def scenario(owner):
        await asyncio.sleep(2.0)
        point = await owner.partition.drain(0.5)
        assert not point.clean

    owning(scenario, Topics(Checkpoint(0, LogPosition(0, 0), clean=False), end=3), quarantine=1.0)


def test_a_partition_that_turns_out_to_be_lost_ends_quietly_and_takes_nothing_more():
    async def scenario(owner):
        owner.feed(symbol(0, "X"))
        owner.topics.held = False
        owner.feed(record(command(1, leverage=999), 1))
        await asyncio.sleep(1.0)
        assert owner.task.done()
        assert owner.task.exception() is None
        owner.feed(symbol(2, "Y"))
        assert owner.partition.checkpoint() is None
        assert owner.topics.events == []

    owning(scenario, Topics())


def test_what_a_lane_waits_for_can_be_asked():
    async def scenario(owner):
        owner.lease.end()
        owner.feed(symbol(0, "X"), symbol(1, "Y"))
        (x, y) = owner.partition.waits()
        assert (x.lane, x.reason, x.commands, y.lane) == ("X", "lease", 1, "Y")
        owner.lease.renew(owner.bench.clock.monotonic())
        await asyncio.sleep(0.2)
        assert [(one.lane, one.reason) for one in owner.partition.waits()] == [("X", "a call"), ("Y", "permit")]

    owning(scenario, Topics(), 5.0, (200, "0"), 5.0, (200, "1"))


def test_idle_lanes_are_forgotten():
    async def scenario(owner):
        owner.feed(*(symbol(number, f"S{number}") for number in range(3)))
        assert owner.partition.lane_count == 3
        await asyncio.sleep(2.0)
        assert owner.partition.lane_count == 0

    owning(scenario, Topics())
