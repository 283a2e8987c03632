"""Our part of a shared bucket: what the store granted, or a share of it while the store is gone."""

import pytest

from gateway.limits.bucket import Bucket
from gateway.limits.lease import Lease

START = 1000.0


def shared(capacity: int = 40, share: float = 0.25, *, counted: bool = False) -> tuple[Bucket, Lease]:
    lease = Lease(share)
    lease.open()
    return Bucket(capacity, 1.0, counted=counted, lease=lease), lease


def test_while_the_store_governs_only_what_it_granted_may_go():
    bucket, lease = shared()
    assert not lease.covers(1)
    lease.allowance = 2
    hold = bucket.hold(2, START)
    assert not lease.covers(1)
    bucket.unused(hold)
    assert lease.covers(2)


@pytest.mark.parametrize(("own", "ration"), [(0, 0), (4, 4), (30, 10)])
def test_in_the_first_window_alone_only_what_was_ours_may_go_and_no_more_than_the_share(own: int, ration: int):
    bucket, lease = shared()
    bucket.hold(own, START)
    bucket.fall_back(START)
    assert lease.ration == ration
    assert not lease.grow(40, START + 1.0)
    assert lease.grow(40, START + 1.01)
    assert lease.ration == 10


def test_where_headers_tell_what_others_spend_the_share_is_there_at_once():
    bucket, lease = shared(counted=True)
    bucket.fall_back(START)
    assert lease.ration == 10


def test_a_share_of_less_than_one_token_comes_back_that_much_later():
    bucket, lease = shared(capacity=1)
    bucket.fall_back(START)
    assert lease.grow(1, START + 1.01)
    bucket.ended(bucket.hold(1, START + 2), START + 2)
    assert not bucket.fits(1, START + 5.9)
    assert bucket.fits(1, START + 6.1)


def test_no_token_is_granted_alone_while_the_store_is_asked():
    bucket, lease = shared(counted=True)
    bucket.fall_back(START)
    lease.paused = True
    assert not lease.covers(1)
