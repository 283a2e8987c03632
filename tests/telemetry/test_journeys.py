"""The way of a command as spans: what each stretch begins and ends with, whatever became of the command."""

import gc

import pytest
from msgspec.structs import replace

from gateway.calls.observer import Called, CallTimes
from gateway.outcomes import Applied, Refusal, Unavailable
from gateway.pipeline import answers
from gateway.telemetry.journeys import Journeys
from gateway.venues.venue import Call
from schemas.topics import Topics
from tests.kit.bench import incoming
from tests.kit.clocks import NOON, FakeClock

TOPICS = Topics()
PROCESS = f"process {TOPICS.commands}"


class Kept:
    def __init__(self):
        self.trees = []

    def take(self, traceparent, root, children):
        self.trees.append((traceparent, root, list(children)))


@pytest.fixture
def sink():
    return Kept()


@pytest.fixture
def clock():
    return FakeClock(monotonic=0.0)


@pytest.fixture
def journeys(sink, clock):
    return Journeys(sink, TOPICS, group="g", clock=clock)


def call(command, times, seconds, outcome):
    asked = Call(purpose="set_leverage", method="POST", path="/leverage", query="symbol=X")
    return Called(
        venue="binance_usdm", account="a", call=asked, about=command, times=CallTimes(*times), status=200, outcome=outcome, seconds=seconds
    )  # fmt: skip


def stretches(children, start):
    """Name, begin and end of each, in seconds since the command was read."""
    return [(span.name, round(span.start - start, 6), round(span.end - start, 6)) for span in children]


def test_a_repeated_call_has_its_own_waits_and_nothing_is_between_them(journeys, sink, clock):
    command, begun = incoming(), clock.monotonic()
    journeys.called(call(command, (begun + 0.1, begun + 0.3, begun + 0.3, begun + 0.31), 0.2, Unavailable(message="")))
    journeys.called(call(command, (begun + 1.0, begun + 1.0, begun + 1.0, begun + 1.01), 0.1, Applied()))
    clock.advance(1.2)
    answer = answers.changed(command, Applied(), topic="t", now=clock.wall() - 0.05, attempts=2)
    journeys.answered(command, answer.event)
    [(_, root, children)] = sink.trees
    assert (root.name, root.error, root.end - root.start) == (PROCESS, None, pytest.approx(1.2))
    assert stretches(children, root.start)[1:] == [
        ("wait in lane", 0.0, 0.1),
        ("wait for permit", 0.1, 0.3),
        ("sign", 0.3, 0.31),
        ("POST /leverage", 0.31, 0.5),
        ("wait in lane", 0.5, 1.0),
        ("wait for permit", 1.0, 1.0),
        ("sign", 1.0, 1.01),
        ("POST /leverage", 1.01, 1.1),
        ("wait in lane", 1.1, 1.15),
        (f"settle {TOPICS.events}", 1.15, 1.2),
    ]
    assert [span.error for span in children if span.name == "POST /leverage"] == ["unavailable", None]


def test_a_permit_that_another_command_of_the_lane_asked_for_counts_from_when_this_one_came(journeys, sink, clock):
    command, begun = incoming(), clock.monotonic()
    journeys.called(call(command, (begun - 60.0, begun + 0.5, begun + 0.5, begun + 0.5), 0.1, Applied()))
    clock.advance(0.6)
    journeys.answered(command, answers.changed(command, Applied(), topic="t", now=clock.wall(), attempts=1).event)
    [(_, root, children)] = sink.trees
    assert stretches(children, root.start)[1:3] == [("wait in lane", 0.0, 0.0), ("wait for permit", 0.0, 0.5)]


@pytest.mark.parametrize(("reason", "error"), [("rate_limited", "rate_limited"), ("superseded", None)])
def test_who_was_never_called_waited_in_its_lane_until_it_was_told(journeys, sink, clock, reason, error):
    command = incoming()
    clock.advance(5.0)
    answer = answers.of_refusal(command, Refusal(reason=reason, message="m"), topic="t", now=clock.wall() - 1.0)
    journeys.answered(command, answer.event)
    [(_, root, children)] = sink.trees
    assert (root.error, root.attributes["leverage.outcome"]) == (error, reason)
    assert stretches(children, root.start)[1:] == [("wait in lane", 0.0, 4.0), (f"settle {TOPICS.events}", 4.0, 5.0)]


@pytest.mark.parametrize(("ahead_ms", "seconds"), [(-2500, 2.5), (3_600_000, 0.0), (-(10**15), 0.0)])
def test_a_record_of_a_wrong_time_was_produced_when_it_was_read(journeys, sink, clock, ahead_ms, seconds):
    command = incoming()
    record = replace(command.record, timestamp_ms=command.record.timestamp_ms + ahead_ms)
    command = replace(command, record=record)
    journeys.answered(command, answers.changed(command, Applied(), topic="t", now=NOON, attempts=1).event)
    [(_, root, [receive, *_])] = sink.trees
    assert (receive.end, receive.end - receive.start) == (root.start, pytest.approx(seconds))


def test_calls_of_a_command_that_is_answered_elsewhere_are_forgotten_with_it(journeys):
    command = incoming()
    journeys.called(call(command, (0.0, 0.0, 0.0, 0.0), 0.1, Applied()))
    assert len(journeys._calls) == 1
    del command
    gc.collect()
    assert len(journeys._calls) == 0


def test_a_public_call_is_nobodys(journeys, sink):
    journeys.called(call(None, (0.0, 0.0, 0.0, 0.0), 0.1, None))
    assert (len(journeys._calls), sink.trees) == (0, [])
