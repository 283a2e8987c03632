"""The checker passes what is right, and each promise broken once is found by its name: it is trusted with the rest."""

import hashlib
from decimal import Decimal
from typing import get_args

import msgspec
import pytest
from msgspec.structs import replace

from gateway.pipeline.answers import CUT_BYTES
from schemas.headers import ERROR_PREFIX
from tests.chaos.broken import (
    BROKEN,
    LANE,
    NOON,
    edited,
    from_within,
    good,
    re_reasoned,
    recalled,
    retold,
    retold_as_expired,
    without,
)
from tests.chaos.checker import check, report, unanswered
from tests.chaos.generator import Generator, Plan
from tests.chaos.history import Call, History, Ownership, Place, Record
from tests.chaos.perfect import Perfect
from tests.chaos.violations import Kind


def test_a_good_history_breaks_no_promise():
    assert check(good()) == []
    assert unanswered(good()) == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_promise_broken_once_is_found_by_its_name(name):
    kinds, break_it = BROKEN[name]
    assert {violation.kind for violation in check(break_it(good()))} == kinds


def test_every_kind_of_violation_has_its_broken_history():
    assert set(get_args(Kind)) - {"over budget"} == set().union(*(kinds for kinds, _ in BROKEN.values()))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("lag", [0, 7])
def test_a_perfect_gateway_passes_on_what_the_generator_makes(seed, lag):
    generator, gateway = Generator(Plan(), seed), Perfect(NOON)
    waiting: list[tuple[Record, str]] = []
    for _ in range(1_000):
        made = generator.next(gateway.now)
        waiting.append((gateway.ask(made), made.kind))
        if len(waiting) > lag:
            gateway.settle(*waiting.pop(0))
    for record, kind in waiting:
        gateway.settle(record, kind)
    history = gateway.history(seed)
    assert report(history, check(history, latest_wins=False, budget_kept=True)).endswith("nothing broken")


def test_superseded_is_a_violation_where_latest_wins_is_off():
    assert {violation.kind for violation in check(good(), latest_wins=False)} == {"superseded"}


def test_a_call_that_the_gateway_gave_up_ends_with_its_timeout():
    history = good()
    left_open = replace(history, calls=recalled(history.calls, 1, finished_at=None))
    assert {violation.kind for violation in check(left_open)} == {"overlap"}
    assert check(left_open, call_timeout=0.005) == []


def test_allowances_are_for_what_they_say():
    history = good()
    touching = replace(history, calls=recalled(history.calls, 1, finished_at=history.calls[1].received_at + 0.001))
    assert check(touching, overlap_allowance=0.002) == []
    sent_late = replace(history, calls=recalled(history.calls, 6, received_at=NOON + 1.2, finished_at=NOON + 1.3))
    assert check(sent_late, expiry_allowance=1.2) == []
    kinds = {violation.kind for violation in check(sent_late, expiry_allowance=0.1)}
    assert kinds == {"sent after expiry", "called after its answer"}


def test_only_a_call_refused_for_its_old_timestamp_may_come_after_the_answer():
    history = BROKEN["a call again after the event"][1](good())
    assert {violation.kind for violation in check(history)} == {"called after its answer"}
    assert check(replace(history, calls=recalled(history.calls, 99, verdict="clock", status=400))) == []


def test_a_history_from_within_breaks_no_promise_and_a_static_member_may_not_know_for_a_while_that_it_was_replaced():
    history = from_within(good())
    assert check(history) == []
    handed_over = Ownership(partition=1, instance="twin", since=NOON, is_handed_over=True)
    replaced = replace(history, owners=(*history.owners, handed_over))
    assert {violation.kind for violation in check(replaced)} == {"no owner's call"}
    assert check(replaced, static_grace=3.0) == []


def test_a_letter_may_be_cut_where_its_headers_tell_size_and_hash_of_the_whole():
    history = good()
    whole = next(record for record in history.commands if record.offset == 6).value or b""
    letter = next(record for record in history.dead_letters if (record.answers or Place(0, 0)).offset == 6)
    told = [(f"{ERROR_PREFIX}value_size", b"%d" % len(whole))]
    told.append((f"{ERROR_PREFIX}value_sha256", hashlib.sha256(whole).hexdigest().encode()))
    cut = {"value": whole[:CUT_BYTES], "headers": (*letter.headers, *told)}
    assert check(replace(history, dead_letters=edited(history.dead_letters, 6, **cut))) == []
    cut["value"] = whole[:10]
    kinds = {one.kind for one in check(replace(history, dead_letters=edited(history.dead_letters, 6, **cut)))}
    assert kinds == {"dead letter altered"}


@pytest.mark.parametrize("verdict", ["throttled", "banned"])
def test_a_throttled_call_counts_where_the_budget_is_ours_alone(verdict):
    history = good()
    throttled = replace(history, calls=recalled(history.calls, 5, verdict=verdict, status=429))
    assert check(throttled) == []
    assert {violation.kind for violation in check(throttled, budget_kept=True)} == {"over budget"}


def test_a_doubtful_command_may_have_changed_the_venue_after_the_last_accepted_one():
    history = good()
    told = retold(history.events, 6, reason="outcome_unknown")
    letters = re_reasoned(history.dead_letters, 6, b"outcome_unknown")
    doubtful = replace(history, events=told, dead_letters=letters, final=history.final | {LANE: Decimal(15)})
    assert check(doubtful) == []
    assert check(replace(doubtful, final=history.final | {LANE: Decimal(16)})) != []


def test_a_venue_that_changed_without_any_answer_telling_so_is_found():
    history = good()
    events = retold_as_expired(history)
    kinds = {violation.kind for violation in check(replace(history, events=events, state=without(history.state, 8)))}
    assert kinds == {"final value", "applied though refused"}


def test_a_command_that_was_deleted_needs_no_answer_and_every_other_does():
    silent = replace(good(), events=(), state=(), dead_letters=(), calls=(), final={})
    places = tuple(record.place for record in silent.commands)
    assert check(replace(silent, deleted=places)) == []
    assert [one.kind for one in check(replace(silent, deleted=places[1:]))] == ["unanswered"]


def test_unanswered_names_the_records_that_still_wait():
    history = good()
    assert unanswered(replace(history, events=without(history.events, 3), dead_letters=())) == [
        Place(1, 3),
        Place(1, 5),
    ]


def test_a_report_shows_the_seed_and_only_what_matters_in_the_order_of_time():
    history = replace(good(), calls=recalled(good().calls, 1, finished_at=good().calls[1].received_at + 0.001))
    lines = report(history, check(history)).splitlines()
    assert lines[0] == "seed 7: 9 commands, 6 calls: 1 x overlap"
    assert lines[1] == f"overlap: {LANE}: call #2 began while #1 was open"
    assert [line.split()[1:3] for line in lines[2:]] == [
        ["command", "1/0"],
        ["call", "#1"],
        ["command", "1/1"],
        ["event", "1/0"],
        ["call", "#2"],
        ["event", "1/2"],
    ]
    assert lines[2:] == sorted(lines[2:])


def test_a_report_of_many_violations_counts_all_and_shows_some_of_each_kind():
    history = replace(good(), events=())
    violations = check(history)
    kinds = {violation.kind for violation in violations}
    for at_most in (2, 6):
        lines = report(history, violations, at_most=at_most).splitlines()
        assert lines[0].startswith("seed 7: 9 commands, 6 calls: 7 x unanswered")
        shown = [line.partition(":")[0] for line in lines[1:] if not line.startswith(" ")]
        assert set(shown) == kinds
        assert len(shown) == max(at_most, len(kinds))


def test_a_history_is_kept_in_a_file(tmp_path):
    good().save(tmp_path / "history")
    assert History.load(tmp_path / "history") == good()


def test_the_journal_is_read_as_the_simulator_writes_it():
    entry = msgspec.json.decode(
        b'{"seq": 1, "venue": "okx", "account": "desk-1", "lane": "cross.currency.BTC", "value": "2.5",'
        b'"received_at": 1795262400.0, "applied_at": null, "finished_at": null, "status": null, "code": null,'
        b'"verdict": "fault"}'
    )
    call = msgspec.convert(entry, Call)
    assert (call.lane_key, call.value) == ("okx:desk-1:cross.currency.BTC", Decimal("2.5"))
