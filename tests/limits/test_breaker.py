"""The breaker: opens after failures in a row, probes once at a time, closes on success."""

from gateway.calls.breaker import Breaker, BreakerPolicy

START = 1000.0


def opened() -> Breaker:
    breaker = Breaker(BreakerPolicy(failures=3, reset=5.0))
    for _ in range(3):
        breaker.failed(START)
    return breaker


def test_it_opens_after_failures_in_a_row_only():
    breaker = Breaker(BreakerPolicy(failures=3, reset=5.0))
    for _ in range(10):
        breaker.failed(START)
        breaker.failed(START)
        breaker.succeeded()
    assert breaker.allows(START)
    assert not breaker.is_open
    assert opened().is_open


def test_an_open_one_allows_nothing_until_its_probe():
    breaker = opened()
    assert not breaker.allows(START + 4.9)
    assert breaker.probe_at(START + 1) == START + 5
    assert breaker.allows(START + 5)
    assert breaker.is_open


def test_one_probe_at_a_time():
    breaker = opened()
    assert breaker.allows(START + 6)
    assert not breaker.allows(START + 6)
    assert breaker.probe_at(START + 6) == START + 11


def test_a_probe_that_never_reports_is_replaced():
    breaker = opened()
    assert breaker.allows(START + 6)
    assert breaker.allows(START + 11)


def test_a_successful_probe_closes_it():
    breaker = opened()
    assert breaker.allows(START + 6)
    breaker.succeeded()
    assert breaker.allows(START + 7)
    assert breaker.probe_at(START + 7) == START + 7
    breaker.failed(START + 7)
    assert breaker.allows(START + 7)


def test_a_failed_probe_opens_it_for_as_long_again():
    breaker = opened()
    assert breaker.allows(START + 6)
    breaker.failed(START + 8)
    assert not breaker.allows(START + 12.9)
    assert breaker.allows(START + 13)


def test_late_failures_of_calls_begun_before_do_not_prolong_it():
    breaker = opened()
    for late in range(5):
        breaker.failed(START + late)
    assert breaker.probe_at(START) == START + 5


def test_an_answer_to_a_call_of_another_kind_closes_nothing_but_asks_for_a_probe():
    breaker = Breaker(BreakerPolicy(failures=2, reset=5.0))
    breaker.failed(1.0)
    breaker.reached(1.0)
    breaker.failed(1.0)
    assert breaker.is_open
    breaker.reached(2.0)
    assert breaker.is_open
    assert breaker.allows(2.0)
    assert not breaker.allows(2.0)
    breaker.failed(3.0)
    assert not breaker.allows(7.9)
    assert breaker.allows(8.0)
