"""Whatever is on the commands topic gets an answer, and nothing of it stops the intake."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pipeline.answers import Answer, out_records
from gateway.pipeline.command import Command, CommandRecord
from gateway.pipeline.intake import Intake
from gateway.pipeline.rules import Deadline
from gateway.venues.catalogue import venues
from schemas import BinanceMargin, BinanceUsdm, LeverageRejected, Okx, Timestamp, encode
from schemas.codec import JSON, MSGPACK
from tests.kit.bench import command, record
from tests.kit.clocks import NOON, FakeClock

TOPIC = "leverage.commands.v1"
GOOD = record(command(20, expires_in=30.0))


class Known:
    def knows(self, venue, account):
        return account == "a"


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def intake(*, partition_of=lambda _key: 0, partition_change=lambda: None):
    clock = FakeClock()
    deadlines = dict.fromkeys(venues(), Deadline(60.0))
    return Intake(
        topic=TOPIC,
        venues=venues(),
        deadlines=deadlines,
        accounts=Known(),
        partition_of=partition_of,
        partition_change=partition_change,
        clock=clock,
    )


def changed(base: CommandRecord, **fields) -> CommandRecord:
    names = CommandRecord.__struct_fields__
    return CommandRecord(*(fields.get(name, getattr(base, name)) for name in names))


def raw(value: bytes | None, encoding: str = JSON) -> CommandRecord:
    return changed(GOOD, value=value, headers=(("content-type", encoding.encode()),))


UNDECODABLE = {
    "random bytes": raw(bytes(range(256))),
    "no bytes": raw(b""),
    "null value": raw(None),
    "json null": raw(b"null"),
    "a list": raw(b"[1,2]"),
    "not utf-8": raw(b'{"type":"SetLeverage","command_id":"\xff"}'),
    "wrong types": raw(b'{"type":"SetLeverage","command_id":5,"account":[],"leverage":{},"target":7}'),
    "a missing field": raw(b'{"type":"SetLeverage","command_id":"c"}'),
    "another message": raw(b'{"type":"LeverageChanged","command_id":"c"}'),
    "an unknown venue": raw(GOOD.value.replace(b"binance_usdm", b"binance_cusd")),
    "one megabyte": raw(b'{"x":"' + b"y" * 1_000_000 + b'"}'),
    "deep nesting": raw(b'{"x":' * 100_000),
    "deep nesting in msgpack": raw(b"\x91" * 100_000, MSGPACK),
    "json said to be msgpack": raw(GOOD.value, MSGPACK),
    "an encoding that nobody reads": raw(GOOD.value, "text/xml"),
    "an account with a colon": raw(GOOD.value.replace(b'"account":"a"', b'"account":"a:b"')),
    "a command id of 65 characters": raw(GOOD.value.replace(b'"c20"', b'"' + b"c" * 65 + b'"')),
    "leverage that is no number": raw(GOOD.value.replace(b'"leverage":"20"', b'"leverage":"twenty"')),
}


@pytest.mark.parametrize("bad", UNDECODABLE.values(), ids=UNDECODABLE.keys())
def test_what_cannot_be_read_goes_to_the_dead_letters_with_its_bytes(bad):
    answer = intake().read(bad)
    assert isinstance(answer, Answer)
    assert answer.event is None
    (letter,) = out_records(answer, topic=TOPIC, group="g")
    assert (letter.topic, letter.key, letter.value) == ("dead_letters", bad.key, bad.value)


REFUSED = {
    "no key": (changed(GOOD, key=None), "invalid", "the record has no key"),
    "another account's key": (changed(GOOD, key=b"binance_usdm:b"), "invalid", "is not that of its command"),
    "a key that is not utf-8": (changed(GOOD, key=b"\xff\xfe"), "invalid", "is not that of its command"),
    "another partition": (changed(GOOD, partition=3), "invalid", "murmur2_random"),
    "an unknown account": (record(command(account="nobody")), "unknown_account", "accounts.nobody.binance_usdm"),
    "leverage 0": (record(command(leverage=0)), "invalid", ""),
    "leverage below 0": (record(command(leverage=-5)), "invalid", ""),
    "leverage that is not a number": (record(command(leverage="NaN")), "invalid", ""),
    "a signalling NaN": (record(command(leverage="sNaN")), "invalid", ""),
    "endless leverage": (record(command(leverage="Infinity")), "invalid", ""),
    "huge leverage": (record(command(leverage="1e999999")), "invalid", ""),
    "leverage of a thousand digits": (record(command(leverage="1" * 1000)), "invalid", ""),
    "a fraction": (record(command(leverage="2.5")), "invalid", ""),
    "margin at 7": (record(command(leverage=7, target=BinanceMargin())), "invalid", ""),
    "okx without a name": (record(command(target=Okx(margin_mode="cross"))), "invalid", ""),
    "isolated currency": (record(command(target=Okx(margin_mode="isolated", currency="BTC"))), "invalid", ""),
    "already expired": (record(command(expires_in=-0.5)), "expired", "before it was read"),
}


@pytest.mark.parametrize(("bad", "reason", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_what_breaks_a_rule_is_answered_with_the_rule(bad, reason, says):
    answer = intake().read(bad)
    assert isinstance(answer, Answer)
    assert isinstance(answer.event, LeverageRejected)
    assert answer.event.reason == reason
    assert answer.event.message
    assert says in answer.event.message
    assert answer.event.attempts == 0
    assert out_records(answer, topic=TOPIC, group="g")


def test_a_good_command_is_taken_in_with_its_deadline_and_trace():
    headers = (("traceparent", b"00-abc"), ("traceparent", TRACE.encode()))
    taken = intake().read(changed(GOOD, headers=headers))
    assert isinstance(taken, Command)
    assert taken.deadline == taken.received_at + 30.0
    assert taken.trace_headers == (("traceparent", TRACE.encode()),)
    assert taken.content_type == JSON


def test_without_expires_at_the_venues_deadline_counts():
    taken = intake().read(record(command()))
    assert isinstance(taken, Command)
    assert taken.deadline == taken.received_at + 60.0


def test_msgpack_is_read_as_msgpack():
    taken = intake().read(record(command(), encoding=MSGPACK))
    assert isinstance(taken, Command)
    assert taken.content_type == MSGPACK


def test_a_key_that_moved_because_partitions_were_added_is_told_so():
    answer = intake(partition_change=lambda: "commands has 12 partitions, not the 6").read(changed(GOOD, partition=3))
    assert isinstance(answer, Answer)
    assert isinstance(answer.event, LeverageRejected)
    assert "has 12 partitions, not the 6, and keys belong elsewhere than before" in answer.event.message


def test_the_partition_check_can_be_turned_off():
    assert isinstance(intake(partition_of=None).read(changed(GOOD, partition=3)), Command)


def test_what_a_predecessor_may_have_sent_is_not_called_expired():
    expired = record(command(expires_in=-0.5))
    assert isinstance(intake().read(expired, suspect=True), Command)
    assert isinstance(intake().read(record(command(leverage=0, expires_in=-0.5)), suspect=True), Answer)


def test_what_a_predecessor_may_have_sent_for_an_account_unknown_here_is_of_unknown_outcome():
    answer = intake().read(record(command(account="nobody")), suspect=True)
    assert isinstance(answer, Answer)
    assert isinstance(answer.event, LeverageRejected)
    assert answer.event.reason == "outcome_unknown"
    assert "accounts.nobody.binance_usdm" in answer.event.message


@given(
    st.one_of(st.none(), st.binary(max_size=300), st.sampled_from([GOOD.value, encode(command(), MSGPACK)])),
    st.one_of(st.none(), st.binary(max_size=20)),
    st.lists(st.tuples(st.sampled_from(["content-type", "traceparent", "x"]), st.one_of(st.none(), st.binary(max_size=40))), max_size=4),
    st.integers(-1, 2**63 - 1),
)  # fmt: skip
def test_no_record_makes_the_intake_or_its_answer_raise(value, key, headers, timestamp_ms):
    one = CommandRecord(0, 1, timestamp_ms, key, value, headers)
    read = intake().read(one)
    if isinstance(read, Answer):
        assert out_records(read, topic=TOPIC, group="g")


@given(st.decimals(allow_nan=True, allow_infinity=True), st.sampled_from([BinanceUsdm(symbol="币安"), BinanceMargin(), Okx(margin_mode="cross", instrument="A-B")]))  # fmt: skip
def test_no_number_makes_the_intake_raise(leverage, target):
    read = intake().read(record(command(leverage=leverage, target=target)))
    if isinstance(read, Answer):
        assert out_records(read, topic=TOPIC, group="g")


def asked_at(issued, **fields):
    message = command(20)
    when = None if issued is None else Timestamp.parse(issued)
    return changed(GOOD, value=encode(msgspec.structs.replace(message, issued_at=when, expires_at=None)), **fields)


@pytest.mark.parametrize(
    ("issued", "stamped", "left"),
    [
        ("2026-11-21T11:59:50.000Z", NOON, 50.0),
        ("2026-11-21T13:00:00.000Z", NOON - 5.0, 55.0),
        ("2026-11-21T13:00:00.000Z", -0.001, 60.0),
        (None, NOON - 20.0, 40.0),
        (None, NOON + 1e6, 60.0),
    ],
)
def test_without_expires_at_the_deadline_counts_from_when_it_was_issued(issued, stamped, left):
    taken = intake().read(asked_at(issued, timestamp_ms=round(stamped * 1000)))
    assert isinstance(taken, Command)
    assert taken.deadline == pytest.approx(taken.received_at + left)


def test_what_waited_through_an_outage_longer_than_its_deadline_is_expired():
    answer = intake().read(asked_at("2026-11-21T02:00:00.000Z"))
    assert answer.event.reason == "expired"
