"""Several buckets at once: all or nothing, first come first served, nobody starved, nobody blocked by another's account."""

from math import inf

import pytest

from gateway.limits.budget import Budget, PermitRequest
from gateway.limits.limit import Cost, Limit, LimitPolicy

START = 1000.0
ADDRESS = Limit(name="address", scope="ip", capacity=10, window=1.0)
SLOW = Limit(name="slow", scope="ip", capacity=1, window=60.0)
OWN = Limit(name="own", scope="account", capacity=2, window=2.0)
BOTH = (Cost("address", 1), Cost("own", 1))


def made(*limits: Limit) -> Budget:
    fresh = LimitPolicy(assume_spent=False)
    return Budget(limits, {limit.name: fresh for limit in limits}, START)


def granted(budget: Budget, now: float) -> list[int]:
    return [request.number for request in budget.grant(now)[0]]


def end(request: PermitRequest, now: float) -> None:
    for hold in request.holds:
        hold.bucket.ended(hold, now)


def test_all_or_nothing_is_taken():
    budget = made(ADDRESS, OWN)
    for _ in range(3):
        budget.request("a", BOTH)
    assert granted(budget, START) == [1, 2]
    assert budget.scope("address", "").bucket.held == 2


def test_a_call_without_cost_needs_no_line():
    assert made(ADDRESS).request("a", ()).granted


def test_two_costs_of_one_limit_are_one():
    budget = made(ADDRESS)
    budget.request("a", (Cost("address", 4), Cost("address", 6)))
    assert granted(budget, START) == [1]
    assert budget.scope("address", "").bucket.held == 10


@pytest.mark.parametrize(
    "costs", [(Cost("address", 11),), (Cost("address", 6), Cost("address", 5)), (Cost("nowhere", 1),)]
)
def test_what_no_window_can_hold_is_refused_at_once(costs: tuple[Cost, ...]):
    with pytest.raises(ValueError, match=r"never fits address, which holds 10|no limit 'nowhere'; there are address"):
        made(ADDRESS).request("a", costs)


def test_a_heavy_call_is_not_starved_by_light_ones():
    budget = made(ADDRESS, OWN)
    first = [budget.request("", [Cost("address", 1)]) for _ in range(10)]
    assert len(granted(budget, START)) == 10
    heavy = budget.request("", [Cost("address", 10)])
    for request in first:
        end(request, START)
    light = [budget.request(account, BOTH) for account in "bcdefgh"]
    now = START + 0.5
    assert granted(budget, now) == []
    assert granted(budget, START + 1.01) == [heavy.number]
    end(heavy, START + 1.02)
    assert granted(budget, START + 2.1) == [request.number for request in light]


def test_a_call_of_two_scopes_is_not_starved_where_they_are_never_free_together():
    budget = made(ADDRESS, OWN)
    mine = budget.request("a", [Cost("address", 10), Cost("own", 2)])
    budget.scope("own", "a").bucket.assume_spent(START)
    now = START
    for _ in range(200):
        now += 0.02
        for account in "bcd":
            budget.request(account, [Cost("address", 1)])
        for request in budget.grant(now)[0]:
            end(request, now)
        if mine.granted:
            break
    assert mine.granted
    assert now < START + 2 + 1 + 0.1


def test_what_a_call_has_found_in_one_scope_is_kept_for_it_while_it_waits_for_another():
    budget = made(ADDRESS, OWN)
    budget.scope("address", "").bucket.assume_spent(START)
    mine = budget.request("a", [Cost("address", 1), Cost("own", 1)])
    later = [budget.request("a", [Cost("own", 1)]) for _ in range(2)]
    assert granted(budget, START) == [later[0].number]
    assert granted(budget, START + 1.01) == [mine.number]


def test_an_account_that_waits_for_its_own_tokens_blocks_no_other():
    budget = made(ADDRESS, OWN)
    waiting = [budget.request("a", BOTH) for _ in range(50)]
    other = budget.request("b", BOTH)
    assert granted(budget, START) == [waiting[0].number, waiting[1].number, other.number]


def test_a_frozen_account_blocks_no_other_and_claims_nothing():
    budget = made(ADDRESS, OWN)
    budget.scope("address", "").bucket.assume_spent(START)
    budget.scope("own", "a").bucket.freeze(START + 100)
    budget.request("a", [Cost("address", 10), Cost("own", 1)])
    other = budget.request("b", BOTH)
    assert granted(budget, START + 1.01) == [other.number]


def test_a_frozen_address_holds_its_calls_and_no_others():
    budget = made(ADDRESS, OWN)
    budget.scope("address", "").bucket.freeze(START + 5)
    held, free = budget.request("a", BOTH), budget.request("a", [Cost("own", 1)])
    requests, wake = budget.grant(START)
    assert requests == [free]
    assert wake == START + 5
    assert granted(budget, START + 5) == [held.number]


def test_who_waits_for_a_slow_limit_leaves_the_fast_one_to_others():
    budget = made(ADDRESS, SLOW)
    for _ in range(2):
        budget.request("a", [Cost("slow", 1), Cost("address", 10)])
    assert granted(budget, START) == [1]
    end_of_first = START + 0.1
    budget.scope("address", "").bucket.resize(20)
    reader = budget.request("a", [Cost("address", 10)])
    assert granted(budget, end_of_first) == [reader.number]


def test_one_that_leaves_the_line_makes_room_for_the_next():
    budget = made(ADDRESS)
    first, second = budget.request("", [Cost("address", 10)]), budget.request("", [Cost("address", 10)])
    budget.cancel(first)
    assert granted(budget, START) == [second.number]


def test_the_timer_is_the_next_instant_at_which_somebody_can_be_served():
    budget = made(OWN)
    requests = [budget.request("a", [Cost("own", 1)]) for _ in range(3)]
    _, wake = budget.grant(START)
    assert wake == inf
    end(requests[0], START + 0.5)
    _, wake = budget.grant(START + 0.5)
    assert wake == pytest.approx(START + 2.5, abs=0.01)


@pytest.mark.parametrize(("ahead", "seconds"), [(0, 0), (1, 0), (2, 2), (19, 18), (20, 20)])
def test_the_wait_is_predicted_for_a_newcomer_at_the_end_of_the_line(ahead: int, seconds: float):
    budget = made(OWN)
    waiting = [budget.request("a", [Cost("own", 1)]) for _ in range(ahead)]
    estimate = budget.estimate("a", [Cost("own", 1)], START)
    assert estimate == pytest.approx(seconds, abs=0.05)
    waiting.append(budget.request("a", [Cost("own", 1)]))
    now = START
    while not waiting[-1].granted:
        requests, wake = budget.grant(now)
        for request in requests:
            end(request, now)
        now = now if requests else wake
    assert now - START == pytest.approx(estimate, abs=0.05)


def test_those_whom_another_account_s_freeze_holds_back_are_not_counted_ahead():
    budget = made(ADDRESS, OWN)
    budget.scope("own", "a").bucket.freeze(START + 100)
    for _ in range(50):
        budget.request("a", BOTH)
    assert budget.estimate("b", BOTH, START) == 0
    assert budget.estimate("a", BOTH, START) >= 100


def test_settings_override_what_the_venue_publishes():
    budget = Budget([ADDRESS], {"address": LimitPolicy(capacity=3, window=9.0, assume_spent=False)}, START)
    bucket = budget.scope("address", "").bucket
    assert (bucket.capacity, bucket.window) == (3, 9.0)


def test_a_limit_without_a_header_may_be_spent_at_the_start_also_for_accounts_seen_later():
    budget = Budget([OWN], {}, START)
    budget.request("a", [Cost("own", 1)])
    assert granted(budget, START + 1.9) == []
    assert granted(budget, START + 2.01) == [1]
    budget.request("b", [Cost("own", 1)])
    assert granted(budget, START + 2.02) == [2]


def test_a_lowered_limit_hands_back_those_who_could_never_be_served():
    budget = made(ADDRESS)
    heavy, light = budget.request("", [Cost("address", 8)]), budget.request("", [Cost("address", 2)])
    assert budget.resize("address", 5) == [heavy]
    assert granted(budget, START) == [light.number]
    assert budget.scope("address", "").waiting == 0
