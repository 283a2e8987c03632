"""One bucket: what is held, what comes back when, what is not there yet."""

import pytest

from gateway.limits.bucket import DRIFT, GRAINS, Bucket

START = 1000.0


def test_a_token_comes_back_one_window_after_its_call_has_ended():
    bucket = Bucket(1, 2.0)
    hold = bucket.hold(1, START)
    assert not bucket.fits(1, START + 100)
    bucket.ended(hold, START + 100)
    assert not bucket.fits(1, START + 102)
    assert bucket.fits(1, START + 100 + 2.0 * (1 + DRIFT))


def test_a_token_that_was_never_sent_is_back_at_once():
    bucket = Bucket(1, 2.0)
    bucket.give_back(bucket.hold(1, START))
    assert bucket.fits(1, START)


def test_what_somebody_before_may_have_spent_is_back_one_window_after_the_start():
    bucket = Bucket(20, 2.0, spent_at=START)
    assert not bucket.fits(1, START + 2.0)
    assert bucket.ready_at(1, START) == pytest.approx(START + 2.001)
    assert bucket.fits(20, START + 2.001)


def test_an_account_that_comes_from_another_instance_may_have_been_spent_there():
    bucket = Bucket(20, 2.0)
    hold = bucket.hold(5, START)
    bucket.assume_spent(START)
    bucket.ended(hold, START + 1)
    assert bucket.used(START + 1) == 20
    assert bucket.used(START + 2.5) == 5
    assert bucket.used(START + 4) == 0


def test_a_longer_freeze_outlives_a_shorter_one():
    bucket = Bucket(1, 1.0)
    bucket.freeze(START + 10)
    bucket.freeze(START + 5)
    assert bucket.frozen_until == START + 10


def test_only_the_end_of_a_call_can_help_when_all_tokens_are_in_flight():
    bucket = Bucket(2, 1.0)
    holds = [bucket.hold(1, START), bucket.hold(1, START)]
    assert bucket.ready_at(1, START) is None
    bucket.ended(holds[0], START + 5)
    assert bucket.ready_at(1, START + 5) == pytest.approx(START + 6, abs=0.001)
    assert bucket.ready_at(2, START + 5) is None


def test_a_lowered_limit_holds_from_the_next_grant_on():
    bucket = Bucket(10, 1.0)
    hold = bucket.hold(8, START)
    bucket.resize(5)
    assert bucket.free(START) == 0
    bucket.ended(hold, START)
    assert not bucket.fits(1, START + 0.9)
    assert bucket.fits(5, START + 1.1)
    assert not bucket.fits(6, START + 1.1)


def test_memory_is_bounded_whatever_the_capacity():
    bucket, now = Bucket(1_000_000, 60.0), START
    for call in range(100_000):
        now = START + call * 0.0006
        bucket.ended(bucket.hold(1, now), now)
    assert len(bucket._returning) <= GRAINS + 1
    assert bucket.used(now) == pytest.approx(100_000, rel=0.001)
    assert bucket.used(now + 61) == 0


def test_supply_goes_round_once_a_window():
    bucket = Bucket(20, 2.0)
    assert bucket.supply_at(20, START) == START
    assert bucket.supply_at(21, START) == pytest.approx(START + 2, abs=0.01)
    assert bucket.supply_at(100, START) == pytest.approx(START + 8, abs=0.02)
    for _ in range(20):
        bucket.ended(bucket.hold(1, START), START)
    assert bucket.supply_at(1, START + 0.5) == pytest.approx(START + 2, abs=0.01)
    assert bucket.supply_at(41, START + 0.5) == pytest.approx(START + 6, abs=0.02)
    bucket.freeze(START + 10)
    assert bucket.supply_at(21, START + 0.5) == pytest.approx(START + 12, abs=0.02)
