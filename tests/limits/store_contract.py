"""What holds of every store of shared limits (`Store`), however it keeps the buckets.

Each rule is given one replica's way to a server; where it waits, its loop may be on simulated time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from gateway.limits.shared import Exchange, ScopeReport, Store, StoreGoneError

Rule = Callable[[Store], Awaitable[None]]


def said(
    *,
    weight: int = 0,
    held: int = 0,
    ended: int = 0,
    freeze_ms: int = 0,
    capacity: int = 10,
    window_ms: int = 60_000,
    alone: bool = False,
    fresh: bool = False,
) -> ScopeReport:
    return ScopeReport(
        alone=alone,
        fresh=fresh,
        capacity=capacity,
        window_ms=window_ms,
        held=held,
        ended=ended,
        freeze_ms=freeze_ms,
        weight=weight,
    )


def ask(
    *scopes: ScopeReport,
    replica: str = "a",
    count: int = 1,
    share: float = 0.25,
    leaving: bool = False,
    lease_ms: int = 5000,
    said_at_ms: int = 0,
) -> Exchange:
    return Exchange(
        replica=replica,
        share=share,
        lease_ms=lease_ms,
        forget_ms=600_000,
        timeout_ms=0,
        said_at_ms=said_at_ms,
        patience_ms=500,
        count=count,
        leaving=leaving,
        scopes=scopes,
    )


async def opened(store: Store, *names: str) -> list[str]:
    """Buckets that this server has known for longer than a window."""
    keys = [f"{{test}}:{name}:{uuid4()}" for name in names]
    await store.exchange(keys, ask(*(said(window_ms=1) for _ in names), count=0, leaving=True))
    await asyncio.sleep(0.01)
    return keys


async def a_bucket_unknown_to_the_server_is_closed_for_a_window(store: Store):
    reply = await store.exchange(["{test}:new"], ask(said(weight=1)))
    assert reply.granted == 0
    assert reply.scopes[0].closed_ms == 60_000
    assert reply.wait_ms == 60_000


async def replicas_together_are_granted_no_more_than_the_limit(store: Store):
    keys = await opened(store, "x")
    first = await store.exchange(keys, ask(said(weight=2), count=4))
    second = await store.exchange(keys, ask(said(weight=2), count=4, replica="b"))
    assert (first.granted, second.granted) == (4, 1)
    third = await store.exchange(keys, ask(said(weight=1), count=1, replica="c"))
    assert third.granted == 0


async def several_scopes_are_all_or_nothing(store: Store):
    keys = await opened(store, "x", "y")
    full = await store.exchange(keys, ask(said(weight=1), said(weight=4), count=5))
    assert full.granted == 2
    none = await store.exchange(keys, ask(said(weight=1, held=2), said(weight=4, held=8), count=5))
    assert none.granted == 0
    other = await store.exchange(keys, ask(said(weight=1), said(), count=20, replica="b"))
    assert other.granted == 8


async def what_has_ended_is_back_after_a_window_and_what_is_unused_at_once(store: Store):
    keys = await opened(store, "x")
    assert (await store.exchange(keys, ask(said(weight=5), count=2))).granted == 2
    assert (await store.exchange(keys, ask(said(weight=1, held=0, ended=5, window_ms=200), count=10))).granted == 5
    reply = await store.exchange(keys, ask(said(weight=1, held=5), count=10))
    assert reply.granted == 0
    assert 0 < reply.wait_ms <= 200
    await asyncio.sleep(reply.wait_ms / 1000 + 0.01)
    assert (await store.exchange(keys, ask(said(weight=1, held=5), count=10))).granted == 5


async def what_a_silent_replica_held_comes_back_and_its_share_is_left_to_it(store: Store):
    keys = await opened(store, "x")
    await store.exchange(keys, ask(said(weight=8), replica="dead"))
    assert (await store.exchange(keys, ask(said(weight=1, window_ms=1), count=10))).granted == 2
    await asyncio.sleep(0.02)
    await store.exchange(keys, ask(said(held=2, window_ms=1), count=0, lease_ms=10))
    await asyncio.sleep(0.02)
    reply = await store.exchange(keys, ask(said(weight=1, held=2), count=10, lease_ms=10))
    assert reply.granted == 10 - 2 - 3
    await store.exchange(keys, ask(said(), count=0, replica="dead"))
    assert (await store.exchange(keys, ask(said(weight=1, held=7), count=10, lease_ms=60_000))).granted == 3


async def to_a_replica_that_says_it_is_alone_its_share_is_left_until_it_says_otherwise(store: Store):
    keys = await opened(store, "x")
    await store.exchange(keys, ask(said(alone=True), count=0, replica="alone"))
    assert (await store.exchange(keys, ask(said(weight=1), count=10))).granted == 10 - 3
    await store.exchange(keys, ask(said(), count=0, replica="alone"))
    assert (await store.exchange(keys, ask(said(weight=1, held=7), count=10))).granted == 3


async def what_is_heard_after_its_sender_gave_up_is_void(store: Store):
    keys = await opened(store, "x")
    now_ms = int((await store.exchange(keys, ask(said(), count=0))).now_ms)
    late = await store.exchange(keys, ask(said(weight=1, ended=9), said_at_ms=now_ms - 10_000))
    assert late.void
    assert late.now_ms >= now_ms
    assert (await store.exchange(keys, ask(said(weight=1), count=20, said_at_ms=now_ms))).granted == 10


async def a_new_process_of_the_same_name_does_not_free_what_the_old_one_held(store: Store):
    keys = await opened(store, "x")
    await store.exchange(keys, ask(said(weight=10)))
    assert (await store.exchange(keys, ask(said(weight=1, fresh=True)))).granted == 0


async def who_leaves_keeps_nothing_but_what_was_under_way(store: Store):
    keys = await opened(store, "x")
    await store.exchange(keys, ask(said(weight=10)))
    await store.exchange(keys, ask(said(held=4), count=0, leaving=True))
    assert (await store.exchange(keys, ask(said(weight=1), count=10, replica="b"))).granted == 6


async def a_freeze_holds_for_every_replica(store: Store):
    keys = await opened(store, "x")
    await store.exchange(keys, ask(said(freeze_ms=500), count=0))
    reply = await store.exchange(keys, ask(said(weight=1), replica="b"))
    assert reply.granted == 0
    assert 400 < reply.scopes[0].frozen_ms <= 500


async def a_heavy_call_claims_what_comes_back_and_is_not_starved_by_other_replicas(store: Store):
    keys = await opened(store, "x")
    assert (await store.exchange(keys, ask(said(weight=1), count=5))).granted == 5
    assert (await store.exchange(keys, ask(said(weight=8), replica="heavy"))).granted == 0
    assert (await store.exchange(keys, ask(said(weight=1, held=5), count=5))).granted == 0
    assert (await store.exchange(keys, ask(said(weight=1, held=1), count=5))).granted == 1
    assert (await store.exchange(keys, ask(said(weight=8), replica="heavy"))).granted == 1


async def who_was_short_first_is_served_before_who_is_nearer(store: Store):
    keys = await opened(store, "x")
    near, far = said(weight=1, held=10), said(weight=1)
    assert (await store.exchange(keys, ask(said(weight=1), count=10, replica="near"))).granted == 10
    assert (await store.exchange(keys, ask(near, replica="near"))).granted == 0
    assert (await store.exchange(keys, ask(far, replica="far"))).granted == 0
    assert (await store.exchange(keys, ask(said(weight=1, held=9), replica="near"))).granted == 1
    assert (await store.exchange(keys, ask(said(weight=1, held=9), replica="near"))).granted == 0
    assert (await store.exchange(keys, ask(far, replica="far"))).granted == 1


async def a_claim_lasts_until_its_owner_was_told_to_ask_again(store: Store):
    keys = await opened(store, "x")
    spent = said(weight=1, ended=10, window_ms=100)
    await store.exchange(keys, ask(said(weight=1), count=10))
    await store.exchange(keys, ask(spent, count=0))
    heavy = await store.exchange(keys, ask(said(weight=8), replica="heavy", lease_ms=100))
    assert 0 < heavy.wait_ms <= 100
    await asyncio.sleep(heavy.wait_ms / 1000 + 0.01)
    assert (await store.exchange(keys, ask(said(weight=1), count=10))).granted == 2


async def a_call_too_heavy_beside_a_lost_replicas_share_claims_nothing(store: Store):
    keys = await opened(store, "x")
    await store.exchange(keys, ask(said(alone=True), count=0, replica="lost"))
    heavy = await store.exchange(keys, ask(said(weight=8), replica="heavy"))
    assert (heavy.granted, heavy.wait_ms) == (0, 5000)
    assert (await store.exchange(keys, ask(said(weight=1), count=10))).granted == 10 - 3


async def to_a_lost_replica_its_own_share_is_left_whatever_the_others_have(store: Store):
    keys = await opened(store, "x")
    await store.exchange(keys, ask(said(alone=True), count=0, replica="lost", share=0.6))
    assert (await store.exchange(keys, ask(said(weight=1), count=10))).granted == 10 - 6


async def what_is_gone_is_told_as_such(store: Store):
    """Holds once the server was killed."""
    with pytest.raises(StoreGoneError):
        await store.exchange(["{test}:x"], ask(said()))


RULES: tuple[Rule, ...] = (
    a_bucket_unknown_to_the_server_is_closed_for_a_window,
    replicas_together_are_granted_no_more_than_the_limit,
    several_scopes_are_all_or_nothing,
    what_has_ended_is_back_after_a_window_and_what_is_unused_at_once,
    what_a_silent_replica_held_comes_back_and_its_share_is_left_to_it,
    to_a_replica_that_says_it_is_alone_its_share_is_left_until_it_says_otherwise,
    what_is_heard_after_its_sender_gave_up_is_void,
    a_new_process_of_the_same_name_does_not_free_what_the_old_one_held,
    who_leaves_keeps_nothing_but_what_was_under_way,
    a_freeze_holds_for_every_replica,
    a_heavy_call_claims_what_comes_back_and_is_not_starved_by_other_replicas,
    who_was_short_first_is_served_before_who_is_nearer,
    a_claim_lasts_until_its_owner_was_told_to_ask_again,
    a_call_too_heavy_beside_a_lost_replicas_share_claims_nothing,
    to_a_lost_replica_its_own_share_is_left_whatever_the_others_have,
)
