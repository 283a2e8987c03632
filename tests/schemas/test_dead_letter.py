"""The headers of dead letters: written and read by the same names, and those of other tools read too."""

import struct

from schemas import Timestamp
from schemas.dead_letter import LetterErrors
from schemas.headers import ERROR_FIELDS, ERROR_PREFIX

NOON = Timestamp.parse("2026-11-21T12:00:00Z")
ONE_MS = Timestamp.parse("1970-01-01T00:00:00.001Z")
OURS = LetterErrors(
    topic="commands",
    partition=0,
    offset=0,
    timestamp=NOON,
    stage="execute",
    reason="venue_unavailable",
    message="down",
    attempts=5,
    failed_at=NOON,
    group="gateway",
)


def test_what_the_gateway_writes_is_read_as_it_was():
    assert [name for name, _ in OURS.headers()] == [ERROR_PREFIX + field for field in ERROR_FIELDS]
    assert LetterErrors.read(OURS.headers(), timestamp_ms=1) == OURS


def test_kafka_connects_headers_are_read():
    said = {"topic": "t", "partition": "3", "offset": "0", "stage": "VALUE_CONVERTER"}
    said |= {"exception.class.name": "DataException", "exception.message": "bad", "exception.stacktrace": "at x"}
    headers = [(f"__connect.errors.{name}", value.encode()) for name, value in said.items()]
    assert LetterErrors.read(headers, timestamp_ms=1) == LetterErrors(
        topic="t",
        partition=3,
        offset=0,
        stage="VALUE_CONVERTER",
        reason="DataException",
        message="bad",
        failed_at=ONE_MS,
    )


def test_kafka_streams_headers_are_read():
    said = {"exception": "SerializationException", "message": "bad", "topic": "t", "partition": "3", "offset": "12"}
    headers = [(f"__streams.errors.{name}", value.encode()) for name, value in said.items()]
    assert LetterErrors.read(headers, timestamp_ms=1) == LetterErrors(
        topic="t", partition=3, offset=12, reason="SerializationException", message="bad", failed_at=ONE_MS
    )


def test_springs_headers_are_read_numbers_being_big_endian_bytes():
    headers = [
        ("kafka_dlt-original-topic", b"t"),
        ("kafka_dlt-original-partition", struct.pack(">i", 3)),
        ("kafka_dlt-original-offset", struct.pack(">q", 0)),
        ("kafka_dlt-original-timestamp", struct.pack(">q", int(NOON.timestamp() * 1000))),
        ("kafka_dlt-original-consumer-group", b"g"),
        ("kafka_dlt-exception-fqcn", b"org.example.Failed"),
        ("kafka_dlt-exception-message", b"bad"),
        ("retry_topic-attempts", struct.pack(">i", 4)),
    ]
    assert LetterErrors.read(headers, timestamp_ms=1) == LetterErrors(
        topic="t",
        partition=3,
        offset=0,
        timestamp=NOON,
        reason="org.example.Failed",
        message="bad",
        attempts=4,
        failed_at=ONE_MS,
        group="g",
    )


def test_our_own_headers_count_more_than_forged_ones_of_other_tools():
    forged = [("__connect.errors.exception.class.name", b"forged"), ("kafka_dlt-original-offset", b"\xff" * 8)]
    assert LetterErrors.read([*OURS.headers(), *forged], timestamp_ms=1) == OURS


def test_headers_that_are_nonsense_say_nothing_and_long_texts_are_cut():
    headers = [(f"{ERROR_PREFIX}{field}", b"\xff\x9b" * 5_000) for field in ERROR_FIELDS]
    errors = LetterErrors.read(headers, timestamp_ms=1)
    assert (errors.partition, errors.offset, errors.attempts, errors.timestamp) == (None, None, None, None)
    assert len(errors.message) == 1_000
