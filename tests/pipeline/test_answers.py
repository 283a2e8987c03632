"""What is written of a command, header by header."""

from decimal import Decimal

import pytest
from msgspec import structs

from gateway.outcomes import Ambiguous, Applied, ClockSkewed, KeyRejection, Refusal, Rejection, Throttled, Unavailable
from gateway.pipeline import answers
from gateway.pipeline.answers import out_records
from gateway.pipeline.command import CommandRecord
from schemas import LeverageRejected, decode_event
from schemas.codec import MSGPACK
from tests.kit.bench import command, incoming, record
from tests.kit.clocks import NOON

TOPIC, GROUP = "commands", "gateways"


def written(answer):
    return out_records(answer, topic=TOPIC, group=GROUP)


def test_a_change_is_an_event_and_the_lanes_state_with_the_same_bytes_and_headers():
    one = structs.replace(incoming(7), trace_headers=[("traceparent", b"00-trace-01")])
    applied = Applied(max_notional=Decimal(50))
    event, state = written(answers.changed(one, applied, topic=TOPIC, now=NOON, attempts=2))
    assert (event.topic, event.key) == ("events", b"binance_usdm:a")
    assert (state.topic, state.key) == ("state", b"binance_usdm:a:BTCUSDT")
    assert event.value == state.value
    assert list(event.headers) == list(state.headers)
    assert list(event.headers) == [
        ("content-type", b"application/json"),
        ("gateway-group", b"gateways"),
        ("gateway-command-partition", b"0"),
        ("gateway-command-offset", b"7"),
        ("traceparent", b"00-trace-01"),
    ]
    said = decode_event(event.value)
    assert (said.event_id, said.command_id, said.attempts, said.lane) == ("commands/0/7", "c7", 2, "BTCUSDT")
    assert str(said.occurred_at) == "2026-11-21T12:00:00.000Z"


def test_the_answer_comes_in_the_commands_encoding():
    asked = command(1)
    one = structs.replace(incoming(1), record=record(asked, encoding=MSGPACK), content_type=MSGPACK)
    event, _ = written(answers.changed(one, Applied(), topic=TOPIC, now=NOON, attempts=1))
    assert dict(event.headers)["content-type"] == b"application/msgpack"
    assert decode_event(event.value, MSGPACK).command_id == "c1"


def test_the_same_answer_twice_has_the_same_event_id():
    one = incoming(3)
    first, again = (answers.changed(one, Applied(), topic=TOPIC, now=NOON + number, attempts=1) for number in range(2))
    assert first.event.event_id == again.event.event_id


def test_a_dead_letter_is_the_commands_bytes_with_what_went_wrong():
    asked = command(1)
    base = record(asked, 42)
    own = [("x", b"1"), ("__gateway.errors.reason", b"old"), ("gateway-command-offset", b"9"), ("x", b"2")]
    one = CommandRecord(0, 42, 1_795_262_400_123, base.key, base.value, own)
    carried = structs.replace(incoming(1), record=one)
    event, letter = written(answers.of_outcome(carried, Unavailable(message="down"), topic=TOPIC, now=NOON, attempts=3))
    assert decode_event(event.value).dead_lettered
    assert (letter.topic, letter.key, letter.value) == ("dead_letters", base.key, base.value)
    assert list(letter.headers) == [
        ("x", b"1"),
        ("x", b"2"),
        ("gateway-command-partition", b"0"),
        ("gateway-command-offset", b"42"),
        ("__gateway.errors.topic", b"commands"),
        ("__gateway.errors.partition", b"0"),
        ("__gateway.errors.offset", b"42"),
        ("__gateway.errors.timestamp", b"2026-11-21T12:00:00.123Z"),
        ("__gateway.errors.stage", b"execute"),
        ("__gateway.errors.reason", b"venue_unavailable"),
        ("__gateway.errors.message", b"down"),
        ("__gateway.errors.attempts", b"3"),
        ("__gateway.errors.failed_at", b"2026-11-21T12:00:00.000Z"),
        ("__gateway.errors.group", b"gateways"),
    ]


def test_what_cannot_be_decoded_is_a_dead_letter_and_no_event():
    (letter,) = written(answers.undecodable(CommandRecord(2, 5, -1, None, b"?", ()), "no json", now=NOON))
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == (None, b"?")
    assert headers["__gateway.errors.stage"] == b"intake"
    assert headers["__gateway.errors.timestamp"] == b""
    assert headers["gateway-command-offset"] == b"5"


REASONS = [
    (Rejection(code="-4028", message="m", http_status=400), "venue_rejected", False),
    (Throttled(retry_after=3.0), "rate_limited", True),
    (Unavailable(), "venue_unavailable", True),
    (ClockSkewed(), "venue_unavailable", True),
    (KeyRejection(http_status=401), "unauthorised", True),
    (Ambiguous(), "outcome_unknown", True),
]


@pytest.mark.parametrize(("outcome", "reason", "dead_lettered"), REASONS)
def test_each_outcome_has_its_reason_and_is_dead_lettered_where_a_redrive_may_help(outcome, reason, dead_lettered):
    answer = answers.of_outcome(incoming(1), outcome, topic=TOPIC, now=NOON)
    assert isinstance(answer.event, LeverageRejected)
    assert (answer.event.reason, answer.event.dead_lettered) == (reason, dead_lettered)
    assert (answer.dead_letter is not None) == dead_lettered
    assert (answer.event.venue_code, answer.event.http_status) == (outcome.code, outcome.http_status)
    assert answer.event.message


def test_a_doubtful_command_is_unknown_whatever_came_last():
    answer = answers.of_outcome(incoming(1), Rejection(message="no"), topic=TOPIC, now=NOON, is_doubtful=True)
    assert answer.event.reason == "outcome_unknown"


@pytest.mark.parametrize(
    ("outcome", "free_at", "retry_at"),
    [
        (Throttled(until=NOON + 60), None, NOON + 60),
        (Throttled(retry_after=2.0), None, NOON + 2),
        (Unavailable(retry_after=4.0), NOON + 9, NOON + 4),
        (Unavailable(), NOON + 9, NOON + 9),
        (Unavailable(), NOON - 1, None),
        (Throttled(until=1e18), None, None),
    ],
)
def test_when_to_ask_again_is_told_where_somebody_knows(outcome, free_at, retry_at):
    event = answers.of_outcome(incoming(1), outcome, topic=TOPIC, now=NOON, free_at=free_at).event
    assert (event.retry_at.timestamp() if event.retry_at else None) == retry_at


def test_the_brake_leaves_the_event_and_says_that_there_is_no_dead_letter():
    answer = answers.of_outcome(incoming(1), Unavailable(message="down"), topic=TOPIC, now=NOON)
    (event,) = written(answers.without_dead_letter(answer))
    assert decode_event(event.value).dead_lettered is False


def test_an_unsayable_number_is_told_as_none():
    one = incoming(1, leverage="1" * 65)
    event = answers.of_refusal(one, Refusal(reason="invalid", message="m"), topic=TOPIC, now=NOON).event
    assert str(event.leverage) == "NaN"
