"""Our part of a shared bucket: what the store granted, or a share of it while the store is gone."""

import pytest

from gateway.limits.allotment import Allotment, Sharing
from gateway.limits.bucket import Bucket

START = 1000.0
TERM = START + 2.0
CALL_TIMEOUT = 0.5
GROWN = START + 1.51  # a call's timeout and a window of one second later


def shared(capacity: int = 40, share: float = 0.25) -> tuple[Bucket, Allotment]:
    allotment = Allotment(Sharing(share, call_timeout=CALL_TIMEOUT))
    allotment.hear(until=TERM)
    return Bucket(capacity, 1.0, allotment=allotment), allotment


def test_while_the_store_governs_only_what_it_granted_may_go():
    bucket, allotment = shared()
    assert not allotment.covers(1, START)
    allotment.hear(TERM, granted=2)
    hold = bucket.hold(2, START)
    assert not allotment.covers(1, START)
    bucket.give_back(hold)
    assert allotment.covers(2, START)


def test_what_the_store_granted_is_good_for_a_term():
    _, allotment = shared()
    allotment.hear(TERM, granted=2)
    assert allotment.covers(2, TERM - 0.001)
    assert not allotment.covers(2, TERM)


@pytest.mark.parametrize(("own", "ration"), [(0, 0), (4, 4), (30, 10)])
def test_in_the_first_window_alone_only_what_was_ours_may_go_and_no_more_than_the_share(own: int, ration: int):
    bucket, allotment = shared()
    bucket.hold(own, START)
    bucket.fall_back(START)
    assert allotment.ration == ration
    assert not allotment.grow(40, START + 1.5)
    assert allotment.grow(40, GROWN)
    assert allotment.ration == 10


def test_before_the_share_is_left_to_us_nothing_is_granted_and_only_what_is_out_then_is_ours():
    bucket, allotment = shared()
    early, late = bucket.hold(3, START), bucket.hold(4, START)
    bucket.ended(early, START + 0.1)
    bucket.ended(late, START + 0.8)
    bucket.hold(2, START + 0.8)
    bucket.fall_back(START + 1.5)
    assert bucket.frozen_until == START + 1.5
    assert allotment.ration == 4 + 2


def test_a_share_of_less_than_one_token_comes_back_that_much_later():
    bucket, allotment = shared(capacity=1)
    bucket.fall_back(START)
    assert allotment.grow(1, GROWN)
    bucket.ended(bucket.hold(1, START + 2), START + 2)
    assert not bucket.fits(1, START + 5.9)
    assert bucket.fits(1, START + 6.1)


@pytest.mark.parametrize(("grown", "ration"), [(False, 3), (True, 5)])
def test_alone_our_share_is_one_of_the_limit_as_it_is_now(grown: bool, ration: int):
    bucket, allotment = shared()
    bucket.hold(3, START)
    bucket.fall_back(START)
    if grown:
        allotment.grow(40, GROWN)
    bucket.resize(20)
    assert allotment.ration == ration


def test_alone_and_stopped_for_a_term_we_grant_nothing_before_the_store_was_asked_again():
    bucket, allotment = shared()
    bucket.fall_back(START)
    assert allotment.covers(1, TERM - 0.001)
    assert not allotment.covers(1, TERM)


def test_no_token_is_granted_alone_while_the_store_is_asked():
    bucket, allotment = shared()
    bucket.fall_back(START)
    allotment.ask()
    assert not allotment.covers(1, START)
