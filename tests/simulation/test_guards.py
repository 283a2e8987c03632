"""Each guard is there for a reason: without it the simulation breaks a promise, and the checker sees which."""

import pytest

from tests.simulation import guards
from tests.simulation.scenario import simulate

SEEDS = 800

CAUGHT = [
    (guards.the_lease, {"no owner's call"}),
    (guards.the_quarantine, {"overlap", "calls backwards"}),
    (guards.the_restore, {"answered twice"}),
    (guards.the_wait_for_the_commit, {"calls backwards"}),
    (guards.the_lanes_order, {"overlap"}),
    (guards.fencing, {"answered twice"}),
    (guards.reading_after_an_unknown_commit, {"answered twice"}),
    (guards.doubt_of_what_a_predecessor_sent, {"final value", "applied though refused"}),
    (guards.the_wait_after_an_unknown_call, {"overlap"}),
    (guards.reading_back, {"final value", "applied though refused"}),
    (guards.the_clean_mark, {"final value", "overlap", "calls backwards"}),
    (guards.the_repeats, {"repeat answered"}),
    (guards.comparing_what_was_answered, {"unanswered"}),
    (guards.assuming_the_budget_spent, {"over budget"}),
    (guards.the_deadlines, {"sent after expiry"}),
    (guards.the_look_at_what_was_refused, {"state", "dead letter"}),
    (guards.reading_without_the_library, {"unanswered"}),
    (guards.the_watch_over_the_membership, {"unanswered"}),
    (guards.the_look_at_who_cancels, {"unanswered", "is no member of the group and goes on"}),
    (guards.asking_for_the_topics_id, {"unanswered"}),
]


@pytest.mark.parametrize(("removal", "damage"), CAUGHT, ids=[removal.__name__ for removal, _ in CAUGHT])
def test_without_this_guard_a_promise_breaks(removal, damage):
    for seed in range(SEEDS):
        with removal():
            verdict = simulate(seed)
        told = [*(violation.kind for violation in verdict.violations), *verdict.errors]
        if any(kind in text for kind in damage for text in told):
            return
    pytest.fail(f"{SEEDS} seeds without {removal.__name__}, and no {' or '.join(sorted(damage))}")


def test_without_the_pause_records_come_while_a_partition_is_taken_over():
    with guards.the_pause_on_assignment():
        errors = [error for seed in range(20) for error in simulate(seed).errors]
    assert any("while it took over" in error for error in errors)
