"""A log's reader that stops reading costs lines, never the gateway; a fault that lasts costs few."""

import io
import logging
import os
import threading
from contextlib import nullcontext
from functools import partial

import pytest
import structlog
from aiokafka.errors import KafkaError

from gateway.telemetry.lines import LONGEST_LINE, LineWriter
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.observer import Telemetry
from gateway.telemetry.repeated import LIBRARY_PAUSE, OWN_EVENTS, OWN_PAUSE, RepeatFilter
from tests.kit.clocks import FakeClock


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        os.close(descriptor)


def test_what_is_written_is_read_in_order_when_the_writer_is_left(pipe):
    reader, writer = pipe
    with LineWriter(writer) as lines:
        for number in range(100):
            lines.write(f"{number}\n")
    assert os.read(reader, 10_000).decode().split() == [str(number) for number in range(100)]


def test_a_reader_that_reads_nothing_costs_counted_lines_and_stops_nobody(pipe):
    _, writer = pipe
    lines = LineWriter(writer, most_characters=200_000)
    with lines:
        for _ in range(1_000):
            lines.write("x" * 999 + "\n")  # more than the pipe and the bound take
        assert lines.dropped >= 1_000 - 200 - 66
    os.read(pipe[0], 1_000_000)  # lets the thread end its write


def test_a_reader_that_is_gone_stops_nobody():
    reader, writer = os.pipe()
    os.close(reader)
    with LineWriter(writer) as lines:
        lines.write("to nobody\n")
        assert lines.flush_within(5)
    os.close(writer)


def test_a_disk_that_is_full_stops_nobody_and_what_is_lost_is_counted():
    with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123 - a device, not a file
        lines = LineWriter(full.fileno())
        with lines:
            for number in range(3):
                lines.write(f"{number}\n")
            assert lines.flush_within(5)
    assert lines.dropped == 3


def test_a_line_from_outside_cannot_fill_the_log_alone(pipe):
    reader, writer = pipe
    with LineWriter(writer) as lines:
        lines.write("x" * 400_000 + "\n")
        assert lines.flush_within(5)
    read = os.read(reader, 1_000_000).decode()
    assert len(read) == LONGEST_LINE + 2
    assert read.endswith("…\n")


def test_the_writers_thread_keeps_no_process_alive(pipe):
    with LineWriter(pipe[1]):
        assert all(thread.daemon for thread in threading.enumerate() if thread.name == "log lines")


class Log:
    """A log behind the filter, on a clock that stands still."""

    def __init__(self):
        self.clock = FakeClock()
        self.stream = io.StringIO()
        self.logger = logging.getLogger("aiokafka.of_this_test")
        self.logger.handlers.clear()
        self.logger.setLevel(logging.INFO)
        self.logger.propagate = False
        handler = logging.StreamHandler(self.stream)
        handler.addFilter(RepeatFilter(self.clock.monotonic))
        self.logger.addHandler(handler)

    @property
    def lines(self):
        return self.stream.getvalue().splitlines()


@pytest.fixture
def log():
    return Log()


def test_a_librarys_warning_is_told_once_in_a_while_with_how_often_it_came(log):
    for number in range(1_000):
        log.logger.warning("Unable connect to node with id %s: %s", number, "refused")
    log.clock.advance(LIBRARY_PAUSE)
    log.logger.warning("Unable connect to node with id %s: %s", 5, "refused")
    assert log.lines == [
        "Unable connect to node with id 0: refused",
        "Unable connect to node with id 5: refused (999 more like this were not logged)",
    ]


def test_our_own_retries_are_told_once_a_second_for_all_partitions(log):
    clock = FakeClock()
    pass_event = partial(RepeatFilter(clock.monotonic).pass_event, None, "warning")
    for partition in range(12):
        with nullcontext() if partition == 0 else pytest.raises(structlog.DropEvent):
            pass_event({"event": "missed_kafka", "doing": f"take partition {partition} over"})
    clock.advance(OWN_PAUSE)
    assert pass_event({"event": "missed_kafka", "doing": "take partition 3 over"})["not_logged"] == 11


def test_what_is_bounded_are_the_lines_of_what_kafka_does_not_do_at_each_try():
    telemetry = Telemetry(Metrics())
    with structlog.testing.capture_logs() as lines:
        telemetry.kafka_failed("fetch", TimeoutError())
        telemetry.recovered(3, TimeoutError())
    assert {line["event"] for line in lines} == OWN_EVENTS


def test_what_happened_once_each_is_told_each_time(log):
    events = [{"event": "dead_lettered_record", "offset": offset} for offset in range(50)]
    pass_event = RepeatFilter(FakeClock().monotonic).pass_event
    assert [pass_event(None, "warning", event) for event in events] == events
    for _ in range(50):
        log.logger.info("joined")
    assert len(log.lines) == 50


def test_that_a_password_goes_in_the_clear_is_not_said_of_every_connection(log):
    log.logger.warning("Sending username and password in the clear")
    assert log.lines == []


@pytest.mark.parametrize(("error", "is_said"), [(KafkaError("no"), False), (ValueError("ours"), True)])
def test_an_error_that_the_client_library_told_already_is_not_said_by_its_own_futures_too(log, error, is_said):
    log.logger.error("Future exception was never retrieved\nfuture: <…>", exc_info=error)
    assert bool(log.lines) == is_said


def test_the_kinds_that_are_remembered_are_bounded(log, monkeypatch):
    monkeypatch.setattr("gateway.telemetry.repeated.KINDS_KEPT", 3)
    for word in "abcdef":
        log.logger.warning(word)
    [bounded] = log.logger.handlers[0].filters
    assert len(bounded._kinds) == 3
