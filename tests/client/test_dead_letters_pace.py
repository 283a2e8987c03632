"""The pace of a redrive: a few first, more as they succeed, none while their venue does not answer."""

from decimal import Decimal

import pytest

from gateway.client.dead_letters.health import AccountHealth, BrakeWatch
from gateway.client.dead_letters.pace import ANSWERS_WITHIN, MOST_PROBES, Pace, PacePolicy, StoppedError
from schemas import LeverageChanged, Timestamp
from tests.client.letters import NOON, answer, rejected

DESK = ("binance_usdm", "desk-1")
WALL = NOON.timestamp()


def send(pace, count, now=0.0, first=0):
    pace.sent({f"n{first + number}": DESK for number in range(count)}, now)
    return [f"n{first + number}" for number in range(count)]


def hear(pace, ids, outcome="changed", now=0.0):
    pace.heard(dict.fromkeys(ids, outcome), now)


def test_steps_double_as_they_succeed_and_begin_again_when_one_fails():
    pace, first = Pace(PacePolicy(), is_answered=True), 0
    for size in (1, 2, 4, 8, 16, 32, 64, 64):
        assert (pace.size, pace.why_wait(0.0)) == (size, None)
        sent = send(pace, size, first=first)
        assert size == 64 or pace.why_wait(0.0) is not None
        hear(pace, sent)
        first += size
    sent = send(pace, 64, first=first)
    hear(pace, sent[:1], "venue_unavailable")
    assert pace.size == 1
    assert pace.why_wait(0.0) is not None
    hear(pace, sent)
    assert (pace.size, pace.why_wait(0.0)) == (1, None)


def test_no_more_than_four_steps_are_unanswered():
    pace = Pace(PacePolicy(), is_answered=True)
    for size in (1, 2, 4, 8, 16, 32):
        hear(pace, send(pace, size, first=size))
    for step in range(4):
        assert pace.why_wait(0.0) is None
        send(pace, 64, first=1_000 + 64 * step)
    assert "256 that were sent are not answered" in why(pace)
    with pytest.raises(StoppedError, match="does a gateway run"):
        pace.why_wait(ANSWERS_WITHIN)


def test_where_nobody_answers_steps_grow_at_once():
    pace = Pace(PacePolicy(), is_answered=False)
    for size in (1, 2, 4, 8, 16, 32, 64, 64):
        assert (pace.size, pace.why_wait(0.0)) == (size, None)
        send(pace, size, first=size)
        pace.heard({}, 0.0)


def test_a_rate_is_kept_and_no_step_is_more_than_a_second_of_it():
    pace, now, first = Pace(PacePolicy(rate=4.0), is_answered=False), 0.0, 0
    for size in (1, 2, 4, 4, 4):
        assert pace.size == size
        send(pace, size, now, first)
        pace.heard({}, now)
        first += size
        now += size / 4.0
        assert pace.why_wait(now - 0.01) == "it keeps to --rate"
        assert pace.why_wait(now) is None


def test_a_share_that_fails_again_stops_it():
    pace = Pace(PacePolicy(stop_at=0.5), is_answered=True)
    hear(pace, send(pace, 1))
    sent = send(pace, 2, first=1)
    assert pace.why_wait(0.0) is not None
    hear(pace, sent[:1])
    with pytest.raises(StoppedError, match="2 of 4 that were answered failed again"):
        hear(pace, [*sent, *send(pace, 1, first=3)], "venue_unavailable")


def unwell(failures, at=NOON):
    health = AccountHealth()
    for number in range(failures):
        health.saw(rejected(number, occurred_at=at))
    return health


def hold(pace, health, *, now=0.0, wall=WALL, brake_free_at=0.0):
    return pace.why_hold(DESK, health, brake_free_at=brake_free_at, now=now, wall=wall)


def why(pace, now=0.0):
    return pace.why_wait(now) or ""


def test_an_account_whose_venue_failed_five_times_in_a_row_gets_one_letter_after_a_while():
    pace = Pace(PacePolicy(), is_answered=True)
    assert hold(pace, unwell(4)) is None
    down = unwell(5)
    assert "the next goes at 12:00:30Z" in (hold(pace, down) or "")
    assert hold(pace, down, wall=WALL + 30) is None
    pace.sent({"probe": DESK}, 0.0, probes={DESK})
    assert "is not answered yet" in (hold(pace, down, wall=WALL + 30) or "")
    down.saw(answer(9, LeverageChanged, leverage=Decimal(1), requested_leverage=Decimal(1), certainty="confirmed"))
    hear(pace, ["probe"])
    assert hold(pace, down, wall=WALL + 30) is None


def test_a_venues_own_breaker_says_how_many_failures_are_too_many():
    pace = Pace(PacePolicy(down_after={"binance_usdm": 2}), is_answered=True)
    assert hold(pace, unwell(1)) is None
    assert "the next goes at" in (hold(pace, unwell(2)) or "")


def test_a_venue_that_stays_down_stops_it_after_some_letters():
    pace, down = Pace(PacePolicy(), is_answered=True), unwell(5)
    for number in range(MOST_PROBES):
        assert hold(pace, down, wall=WALL + 60) is None
        pace.sent({f"p{number}": DESK}, 0.0, probes={DESK})
        hear(pace, [f"p{number}"], "venue_unavailable")
    with pytest.raises(StoppedError, match="could not do the last 5 of desk-1"):
        hold(pace, down, wall=WALL + 60)


def test_letters_wait_for_the_brake_of_their_venue():
    watch = BrakeWatch()
    for second in (0, 50, 100):
        at = Timestamp.from_epoch(WALL + second)
        watch.saw(rejected(second, occurred_at=at, dead_lettered=False))
    watch.saw(rejected(1, occurred_at=Timestamp.from_epoch(WALL + 150), dead_lettered=True))
    watch.saw(rejected(2, reason="policy", occurred_at=Timestamp.from_epoch(WALL + 150)))
    free_at = watch.free_at("binance_usdm")
    held = hold(Pace(PacePolicy(), is_answered=True), AccountHealth(), wall=WALL + 159, brake_free_at=free_at)
    assert "the brake of binance_usdm is on till 12:02:40Z" in (held or "")
    assert hold(Pace(PacePolicy(), is_answered=True), AccountHealth(), wall=WALL + 160, brake_free_at=free_at) is None
    on, off = watch.brakes(WALL + 159), watch.brakes(WALL + 160)
    told = next(brake for brake in on if brake.venue == "binance_usdm")
    assert (told.on, told.since, told.left_out) == (True, NOON, 3)
    assert "dead_letters_per_minute" in (told.why or "")
    assert not any(brake.on for brake in off)
    assert [brake.left_out for brake in on if brake.venue != "binance_usdm"] == [0, 0, 0, 0]
