"""The order of a lane, and who is superseded."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline.lanes import Lane, Lanes
from tests.pipeline.paper import incoming


def lane_of(*commands):
    lanes = Lanes()
    for one in commands:
        lane, _ = lanes.admit(one)
    return lane


def ids(commands):
    return [one.command.command_id for one in commands]


def test_commands_go_oldest_first_one_at_a_time():
    lane = lane_of(incoming(1), incoming(2))
    assert lane.take().command.command_id == "c1"
    with pytest.raises(RuntimeError):
        lane.take()
    lane.finish()
    assert lane.take().command.command_id == "c2"


def test_only_the_newest_waits_and_the_running_one_is_left_alone():
    lane = lane_of(incoming(1), incoming(2), incoming(3), incoming(4))
    lane.take()
    assert ids(lane.supersede()) == ["c2", "c3"]
    assert ids(lane.waiting) == ["c4"]
    assert lane.running is not None


def test_a_command_put_back_waits_in_front_and_can_be_superseded():
    lane = lane_of(incoming(1))
    lane.take()
    lane.put_back()
    lane.waiting.append(incoming(2))
    assert ids(lane.supersede()) == ["c1"]


def test_a_command_that_was_sent_and_may_have_been_applied_is_not_superseded():
    sent = incoming(1)
    sent.doubtful, sent.attempts = True, 1
    lane = lane_of(sent, incoming(2), incoming(3))
    assert ids(lane.supersede()) == ["c2"]
    assert ids(lane.waiting) == ["c1", "c3"]


def test_a_command_that_a_predecessor_may_have_sent_stays_in_front_and_is_overtaken():
    first = incoming(1)
    first.doubtful = True
    lane = lane_of(first)
    assert not lane.is_overtaken
    lane = lane_of(first, incoming(2), incoming(3))
    assert ids(lane.supersede()) == ["c2"]
    assert ids(lane.waiting) == ["c1", "c3"]
    assert lane.is_overtaken
    assert not lane.is_settled(0.0)
    first.asked = True
    assert not lane.is_overtaken


async def test_who_comes_after_a_refused_command_waits_for_its_answer():
    lanes, loop = Lanes(), asyncio.get_running_loop()
    before, later = loop.create_future(), loop.create_future()
    lanes.refuse(incoming(1).lane, before)
    lane, _ = lanes.admit(incoming(2))
    assert lane.answered is before
    lanes.refuse(lane.key, later)
    assert lane.answered is later
    later.set_result(None)
    await asyncio.sleep(0)
    lane.take()
    lane.finish()
    lanes.forget(lane)
    assert lanes.admit(incoming(3))[0].answered is None


def test_who_waits_for_the_next_is_told_when_it_is_another():
    lane, told = lane_of(incoming(1)), []
    lane.changed = lambda: told.append(lane.head.command.command_id)
    lane.supersede()
    lane.waiting.append(incoming(2))
    lane.supersede()
    assert told == ["c2"]


def test_an_idle_lane_is_forgotten_and_a_busy_one_is_not():
    lanes = Lanes()
    lane, new = lanes.admit(incoming(1))
    assert new
    assert not lanes.admit(incoming(2))[1]
    with pytest.raises(RuntimeError):
        lanes.forget(lane)
    for _ in range(2):
        lane.take()
        lane.finish()
    lanes.forget(lane)
    assert len(lanes) == 0


def test_nothing_is_settled_while_a_call_may_be_under_way():
    lanes = Lanes()
    lane, _ = lanes.admit(incoming(1))
    assert lanes.settled(0.0)
    lane.take()
    assert not lanes.settled(0.0)
    lane.put_back()
    lane.not_before = 5.0
    assert not lanes.settled(4.0)
    assert lanes.settled(5.0)


@given(st.lists(st.sampled_from(["admit", "take", "finish", "put back", "supersede"]), max_size=60))
def test_whatever_happens_commands_are_taken_in_order_and_none_is_lost(steps):
    lanes, number, taken, out = Lanes(), 1, [], []
    lane, _ = lanes.admit(incoming(1))
    for step in steps:
        if step == "admit":
            number += 1
            lanes.admit(incoming(number))
        elif step == "take" and lane.running is None and lane.waiting:
            taken.append(lane.take().offset)
        elif step == "finish" and lane.running:
            out.append(lane.finish().offset)
        elif step == "put back" and lane.running:
            lane.put_back()
        elif step == "supersede":
            out += [one.offset for one in lane.supersede()]
            assert len(lane.waiting) <= 1
    still = [one.offset for one in lane.waiting] + ([lane.running.offset] if lane.running else [])
    assert sorted(out + still) == list(range(1, number + 1))
    assert taken == sorted(taken)


def test_a_lane_is_told_apart_by_venue_account_and_name():
    lanes = Lanes()
    assert lanes.admit(incoming(1, account="a"))[1]
    assert lanes.admit(incoming(1, account="b"))[1]
    assert {(lane.venue, lane.account) for lane in lanes} == {("binance_usdm", "a"), ("binance_usdm", "b")}
    assert isinstance(next(iter(lanes)), Lane)
