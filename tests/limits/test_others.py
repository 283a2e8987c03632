"""What others spend, learned from headers: never too low, exact once every call is answered, gone with its window."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.bucket import Bucket, Hold
from gateway.limits.others import SLACK, Others, Spending

MINUTE = 60.0
START = 1000.0
WALL = 29_921_040 * MINUTE  # the venue's clock at START: a window begins


def wall(now: float) -> float:
    return WALL + now - START


def counted(capacity: int = 100) -> Bucket:
    return Bucket(capacity, MINUTE, counted=True)


def call(bucket: Bucket, used: int, now: float, *, weight: int = 1) -> None:
    bucket.answered(bucket.hold(weight, now), used, now, wall(now))


def test_until_a_first_answer_one_call_goes_alone():
    bucket = counted()
    first = bucket.hold(1, START + 10)
    assert not bucket.fits(1, START + 10)
    bucket.answered(first, 1, START + 10.1, wall(START + 10.1))
    assert bucket.fits(20, START + 10.1)


def test_a_first_call_that_ends_without_a_count_lets_the_next_one_go():
    bucket = counted()
    bucket.ended(bucket.hold(1, START), START + 1)
    assert bucket.fits(1, START + 1)
    bucket.hold(1, START + 1)
    assert not bucket.fits(1, START + 1)


def test_a_venue_that_sends_no_header_for_a_window_is_taken_to_send_none():
    bucket = counted()
    bucket.ended(bucket.hold(1, START), START + 1)
    assert bucket.fits(99, START + MINUTE)


def test_what_others_spent_counts_until_the_venues_window_ends():
    bucket = counted()
    call(bucket, 81, START + 30)
    assert bucket.used(START + 31) == 81
    assert not bucket.fits(20, START + 31)
    assert bucket.used(START + MINUTE + SLACK) == 1


def test_a_count_below_our_own_changes_nothing():
    bucket = counted()
    for used in (1, 2, 3):
        call(bucket, used, START + 5)
    call(bucket, 2, START + 6)
    assert bucket.used(START + 6) == 4


def test_others_are_expected_to_go_on_as_in_the_last_window():
    bucket = counted(1000)
    for second in range(1, 60):
        call(bucket, second * 5 + second, START + second)  # 5 a second besides ours
    call(bucket, 1, START + MINUTE + 1)
    free = bucket.free(START + MINUTE + 1)
    assert 1000 - 300 - 60 - 3 * 300**0.5 - 20 < free < 1000 - 300 - 50


def test_a_call_counted_after_the_window_turned_is_known_by_the_count_that_fell():
    bucket = counted()
    call(bucket, 51, START + 30)
    late = bucket.hold(1, START + MINUTE - 0.1)
    bucket.answered(late, 7, START + MINUTE + 0.1, wall(START + MINUTE + 0.1))
    assert bucket.used(START + MINUTE + 0.1) == 2 + 6


def test_a_late_answer_of_the_last_window_does_not_count_in_this_one():
    bucket = counted()
    late = bucket.hold(1, START + 50)
    call(bucket, 61, START + 55)
    call(bucket, 1, START + MINUTE + 1)
    bucket.answered(late, 60, START + MINUTE + 2, wall(START + MINUTE + 2))
    assert bucket.used(START + MINUTE + 2) == 3


def test_after_a_window_without_any_answer_a_call_goes_alone_again():
    bucket = counted()
    call(bucket, 1, START + 1)
    bucket.hold(1, START + 3 * MINUTE)
    assert not bucket.fits(1, START + 3 * MINUTE)


def test_a_forecast_alone_never_starves_a_call_of_the_whole_capacity():
    bucket = Bucket(10, MINUTE, counted=True)
    for minute in range(3):
        call(bucket, 9, START + minute * MINUTE + 30)
    now = START + 2 * MINUTE + 30
    for _ in range(100):
        ready_at = bucket.ready_at(10, now)
        assert ready_at is not None
        if ready_at <= now:
            break
        now = ready_at
    assert bucket.fits(10, now)
    assert now <= START + 3 * MINUTE + 31


@given(
    st.lists(st.tuples(st.sampled_from(["begin", "count", "answer", "other", "lose"]), st.integers(0, 50)), max_size=80)
)
def test_no_order_of_answers_makes_the_count_too_low_or_leaves_it_wrong(steps: list[tuple[str, int]]):
    others = Others(10_000, MINUTE)
    now = START + 1
    used = foreign = lost = 0
    begun: list[Spending] = []
    on_their_way: list[tuple[Spending, int, int]] = []
    answered: list[tuple[int, int]] = []
    for step, number in steps:
        now += 0.01
        if step == "begin":
            begun.append(Spending(1 + number % 3, now, others.mark(now)))
        elif step == "other":
            foreign += number
            used += number
        elif step == "count" and begun:
            ours = begun.pop(number % len(begun))
            used += ours.weight
            on_their_way.append((ours, used, foreign))
        elif step == "lose" and on_their_way:
            ours, _, _ = on_their_way.pop(number % len(on_their_way))
            others.unanswered(ours, now)
            lost += ours.weight
        elif step == "answer" and on_their_way:
            ours, told, then = on_their_way.pop(number % len(on_their_way))
            others.observe(ours, told, now, wall(now))
            answered.append((told, then))
    if not answered:
        return
    _, truth = max(answered)
    in_flight = sum(ours.weight for ours, _, _ in on_their_way)
    assert others.known(now) >= truth - lost
    assert others.known(now) <= truth + in_flight + lost


@given(st.integers(1, 50), st.floats(0.0, 0.4), st.floats(-0.2, 0.2))
def test_a_venue_clock_known_only_roughly_carries_no_count_into_the_next_window(calls: int, delay: float, error: float):
    bucket = counted(1000)
    holds: list[tuple[Hold, float]] = []
    now = START + 59.0
    call(bucket, 500, START + 58)
    count, counts = 500, {}
    for number in range(calls):
        began = now + number * 2.0 / calls
        holds.append((bucket.hold(1, began), began))
    for number, (_, began) in enumerate(holds):
        if began + delay >= START + MINUTE and (number == 0 or holds[number - 1][1] + delay < START + MINUTE):
            count = 0
        count += 1
        counts[number] = count
    for number, (hold, began) in enumerate(holds):
        ended = max(began + 2 * delay, holds[-1][1])
        bucket.answered(hold, counts[number], ended + number * 1e-6, wall(ended) + error)
    assert bucket.others is not None
    assert bucket.others.known(START + MINUTE + 3) <= calls


def test_unanswered_calls_that_turn_out_to_be_ours_leave_no_fear_of_others():
    bucket = counted(2400)
    now = START + 1
    for used in range(1, 101):
        now += 0.1
        call(bucket, used, now)
    unanswered = [bucket.hold(1, now) for _ in range(60)]
    for used in range(161, 211):
        now += 0.1
        call(bucket, used, now)
    for hold in unanswered:
        bucket.ended(hold, now)
    for used in range(212, 262):  # one of these is somebody else's
        now += 0.1
        call(bucket, used, now)
    assert bucket.used(now) == 261
    assert bucket.free(now) > 600  # before a whole window was seen, half of it is others'


def test_a_clock_known_to_half_a_second_only_makes_nobody_of_our_own_calls_of_the_old_window():
    ahead = 0.5  # our idea of the venue's clock
    bucket = Bucket(2400, MINUTE, counted=True, clock_error=0.75)
    now, used = START + 1.0, 0
    while now < START + MINUTE:  # up to the end of the venue's own window
        used += 1
        bucket.answered(bucket.hold(1, now), used, now + 0.01, wall(now + 0.01) + ahead)
        now += 0.1
    for again in range(1, 40):
        bucket.answered(bucket.hold(1, now), again, now + 0.01, wall(now + 0.01) + ahead)
        now += 0.1
    assert bucket.others is not None
    assert bucket.others.known(now) <= 2
