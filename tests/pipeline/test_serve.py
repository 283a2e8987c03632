"""From a lane's head to its answer: what is tried again, what is not, until when, and what is said."""

import asyncio
from decimal import Decimal
from itertools import pairwise

import pytest

from gateway.outcomes import Ambiguous, Refusal, Unavailable
from schemas import LeverageChanged, LeverageRejected
from tests.kit.bench import Bench, Script, incoming, requests, run
from tests.kit.clocks import NOON
from tests.kit.world import on_virtual_time

SET = "POST lane=BTCUSDT&leverage="
LOOK = "GET lane=BTCUSDT"


def test_an_applied_call_is_told_with_the_venues_value():
    bench = run((200, "1"))
    assert isinstance(bench.event, LeverageChanged)
    assert (bench.event.leverage, bench.event.certainty, bench.event.attempts) == (Decimal(1), "confirmed", 1)


def test_what_the_venue_made_of_it_is_told_beside_what_was_asked():
    bench = run((200, "3"), commands=[incoming(5)])
    assert isinstance(bench.event, LeverageChanged)
    assert (bench.event.leverage, bench.event.requested_leverage) == (Decimal(3), Decimal(5))


@pytest.mark.parametrize(
    "transient", [(503, "unavailable"), Unavailable(message="refused"), (429, "0.2"), (400, "timestamp")]
)
def test_what_may_pass_is_tried_again_with_a_new_signature(transient):
    bench = run(transient, transient)
    assert isinstance(bench.event, LeverageChanged)
    assert bench.event.attempts == 3
    assert requests(bench) == [SET + "1"] * 3


@pytest.mark.parametrize(
    ("final", "reason"), [((400, "too high"), "venue_rejected"), ((401, "bad key"), "unauthorised")]
)
def test_what_cannot_pass_is_not_tried_again(final, reason):
    bench = run(final)
    assert isinstance(bench.event, LeverageRejected)
    assert (bench.event.reason, bench.event.attempts, bench.event.http_status) == (reason, 1, final[0])
    assert bench.event.message == final[1]


def test_refused_keys_stop_the_account():
    assert run((401, "bad key")).stopped == ["binance_usdm a: bad key"]


def test_a_stopped_account_costs_no_call():
    refusal = Refusal(reason="unauthorised", message="stopped")
    bench = run(prepare=lambda bench: setattr(bench, "keys", refusal))
    assert bench.told == [("c1", "unauthorised")]
    assert requests(bench) == []


def test_attempts_are_bounded():
    bench = run(*[(503, "unavailable")] * 9, max_attempts=3, breaker_failures=9)
    assert isinstance(bench.event, LeverageRejected)
    assert (bench.event.reason, bench.event.attempts) == ("venue_unavailable", 3)
    assert bench.event.dead_lettered


def test_the_venues_own_hint_is_waited_for():
    bench = run(Unavailable(message="later", retry_after=7.0))
    assert [at for at, _ in bench.script.sent] == [0.0, 7.0]


def test_backing_off_is_bounded_and_jittered():
    bench = run(*[(503, "unavailable")] * 8, max_attempts=9, backoff_base=0.1, backoff_cap=0.4, breaker_failures=99)
    times = [at for at, _ in bench.script.sent]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert all(pause <= cap for pause, cap in zip(pauses, [0.1, 0.2, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4], strict=True))
    assert len(set(pauses)) == len(pauses)


def test_a_throttled_scope_pauses_until_the_named_time():
    bench = run((429, "3.5"))
    first, second = bench.script.sent
    assert second[0] - first[0] >= 3.5
    assert bench.told == [("c1", "changed")]


def test_a_skewed_clock_is_measured_and_the_call_repeated_at_once():
    bench = run((400, "timestamp"))
    assert bench.measured == 1
    assert [at for at, _ in bench.script.sent] == [0.0, 0.0]


def test_an_unknown_outcome_is_read_back_and_told_as_such():
    bench = run(Ambiguous(message="reset"), (200, "1"))
    assert isinstance(bench.event, LeverageChanged)
    assert bench.event.certainty == "read_back"
    assert requests(bench) == [SET + "1", LOOK]


def test_where_the_venue_has_another_value_the_same_is_set_again():
    bench = run(Ambiguous(message="reset"), (200, "7"))
    assert isinstance(bench.event, LeverageChanged)
    assert requests(bench) == [SET + "1", LOOK, SET + "1"]
    assert bench.script.sent[2][0] >= 1.0, "the call that was cut off may take effect for a call timeout"


def test_another_value_read_after_a_timeout_means_that_it_was_not_applied():
    bench = run(1.0, Ambiguous(message="timeout"), (200, "7"), max_attempts=1)
    assert isinstance(bench.event, LeverageRejected)
    assert bench.event.reason == "venue_unavailable"
    assert "the venue has 7" in bench.event.message


def test_what_stays_unknown_is_told_as_unknown():
    bench = run(Ambiguous(message="reset"), (503, "unknown"), (503, "unknown"), max_attempts=1)
    assert bench.told == [("c1", "outcome_unknown")]
    assert requests(bench) == [SET + "1", LOOK]


def test_where_nothing_can_be_read_back_the_same_value_is_set_again():
    bench = run(Ambiguous(message="reset"), (200, "1"), reads_back=False)
    assert bench.told == [("c1", "changed")]
    assert requests(bench) == [SET + "1"] * 2


def test_a_refusal_after_an_unknown_call_is_no_proof_that_the_first_was_not_applied():
    bench = run(Ambiguous(message="reset"), (400, "too high"), reads_back=False)
    assert bench.told == [("c1", "outcome_unknown")]


def test_who_was_called_in_vain_and_has_no_time_left_is_told_that_the_venue_was_unavailable():
    script = Ambiguous(message="cut off"), (200, "0"), (200, "0")
    bench = run(*script, commands=[incoming(1, deadline=5.0)], settles_within=7.0)
    assert bench.told == [("c1", "venue_unavailable")]


def test_a_command_that_cannot_have_its_turn_in_time_is_refused_at_once_with_the_estimate():
    def spend(bench):
        bench.caller.assume_spent("a", 10.0)

    bench = run(commands=[incoming(1, deadline=5.0)], prepare=spend)
    assert isinstance(bench.event, LeverageRejected)
    assert bench.event.reason == "rate_limited"
    assert bench.event.occurred_at.timestamp() == NOON
    assert bench.event.retry_at is not None
    assert bench.event.retry_at.timestamp() == pytest.approx(NOON + 11.0, abs=0.1)


def test_a_command_of_unknown_outcome_that_runs_out_of_time_is_told_as_unknown():
    def lease_ends(bench):
        asyncio.get_running_loop().call_later(0.5, setattr, bench, "leased", False)

    commands = [incoming(1, deadline=1.5)]
    bench = run(Ambiguous(message="reset"), commands=commands, reads_back=False, prepare=lease_ends)
    assert bench.told == [("c1", "outcome_unknown")]
    assert bench.event.attempts == 1


def test_the_venue_is_asked_when_a_call_that_was_cut_off_can_no_longer_take_effect_and_before_anything_is_told():
    bench = run(Ambiguous(message="reset"), (200, "1"), max_attempts=1)
    assert isinstance(bench.event, LeverageChanged)
    assert bench.event.certainty == "read_back"
    assert requests(bench) == [SET + "1", LOOK]
    assert bench.script.sent[1][0] >= 1.0


def test_a_late_command_that_a_predecessor_may_have_sent_is_looked_for_at_the_venue():
    late = incoming(1, deadline=0.0, expires_in=-1.0)
    bench = run((200, "1"), commands=[late], is_inherited=True)
    assert isinstance(bench.event, LeverageChanged)
    assert bench.event.certainty == "read_back"


def test_a_bug_costs_one_command_its_answer_and_nobody_else():
    async def main(world):
        bench = Bench(world, Script((200, "not a number")), reads_back=False)
        await bench.answer(incoming(1))
        await bench.answer(incoming(2))
        assert bench.told == [("c1", "outcome_unknown"), ("c2", "changed")]
        assert len(bench.failures) == 1
        assert bench.caller.in_flight == 0

    on_virtual_time(main)


def test_a_bug_before_the_call_costs_one_command_its_answer_and_nobody_else_and_keeps_no_permit():
    async def main(world):
        bench = Bench(world, Script(), slots=1)
        credentials = bench.credentials

        def broken(*_):
            bench.credentials = credentials
            raise ValueError("the keys cannot be looked up")

        bench.credentials = broken
        await bench.answer(incoming(1))
        await bench.answer(incoming(2))
        assert bench.told == [("c1", "outcome_unknown"), ("c2", "changed")]
        assert len(bench.failures) == 1
        assert requests(bench) == [SET + "2"]

    on_virtual_time(main)
