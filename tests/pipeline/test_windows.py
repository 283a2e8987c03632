"""The small pure rules: repeats by count and age, the lease, the brake on dead letters."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.ownership.lease import Lease
from gateway.ownership.repeats import Repeats, RepeatWindow
from gateway.pipeline.brake import DeadLetterBrake


def test_a_command_being_answered_is_a_repeat_until_the_window_after_its_answer_ends():
    repeats = Repeats(RepeatWindow(10, 60.0))
    assert not repeats.is_repeat("okx:a", "c", 0.0)
    repeats.open("okx:a", "c")
    assert repeats.is_repeat("okx:a", "c", 1e6), "however long the answer takes"
    repeats.answered("okx:a", "c", 100.0)
    assert repeats.is_repeat("okx:a", "c", 159.9)
    assert not repeats.is_repeat("okx:a", "c", 160.0)


def test_two_accounts_may_use_the_same_ids():
    repeats = Repeats(RepeatWindow(10, 60.0))
    repeats.open("okx:a", "c")
    assert not repeats.is_repeat("okx:b", "c", 0.0)


@given(st.integers(0, 5), st.lists(st.integers(0, 8), max_size=40))
def test_no_more_answered_ids_than_the_window_says_are_remembered_and_they_are_the_last(count, answered):
    repeats = Repeats(RepeatWindow(count, 1e9))
    for at, number in enumerate(answered):
        repeats.answered("k", str(number), float(at))
    newest = list(dict.fromkeys(reversed(answered)))[:count]
    assert {number for number in range(9) if repeats.is_repeat("k", str(number), 100.0)} == set(newest)


def test_a_call_may_start_only_if_it_surely_ends_within_the_lease():
    lease = Lease(30.0)
    assert not lease.allows(0.0, 5.0)
    lease.renew(100.0)
    assert lease.allows(124.9, 5.0)
    assert not lease.allows(125.0, 5.0)
    assert lease.remaining(120.0) == 10.0
    assert lease.remaining(1000.0) == 0.0


def test_a_late_answer_to_an_early_commit_does_not_shorten_the_lease():
    lease = Lease(30.0)
    lease.renew(100.0)
    lease.renew(90.0)
    assert lease.remaining(100.0) == 30.0


def test_a_lease_given_up_is_over_at_once():
    lease = Lease(30.0)
    lease.renew(100.0)
    lease.end()
    assert not lease.allows(100.0, 0.0)


def test_the_brake_counts_each_venue_over_a_sliding_minute():
    brake = DeadLetterBrake({"okx": 2, "ztdx": 1})
    assert brake.allows("okx", 0.0)
    assert brake.allows("okx", 30.0)
    assert not brake.allows("okx", 59.9)
    assert brake.allows("ztdx", 59.9)
    assert brake.allows("okx", 60.0)
    assert not brake.allows("okx", 61.0)


def test_a_brake_of_none_lets_nothing_through():
    assert not DeadLetterBrake({"okx": 0}).allows("okx", 0.0)
