"""Our own events on their way to the stream."""

from gateway.telemetry.own_lines import OwnLogger


class Gone:
    """A stream whose reader is gone."""

    def write(self, line):
        raise BrokenPipeError

    def flush(self):
        raise AssertionError("nothing was written")


def test_who_logs_is_not_told_that_nobody_can_read_it():
    OwnLogger(Gone(), "gateway").info("said")
