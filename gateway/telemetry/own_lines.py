"""Where the lines of our own events go: straight to the stream, without a record of `logging` for each.

After structlog's processors, the last of which makes the line; libraries' lines come through `logging`.
"""

from contextlib import suppress
from typing import TextIO

from gateway.telemetry.lines import LineWriter


class OwnLogger:
    """One named logger; each method is a level's, and takes the finished line."""

    __slots__ = ("_out", "name")

    def __init__(self, out: TextIO | LineWriter, name: str) -> None:
        self._out = out
        self.name = name

    def write(self, line: str) -> None:
        """Write a line; who logs is never told that nobody can read it."""
        with suppress(OSError, ValueError):
            self._out.write(f"{line}\n")
            self._out.flush()

    debug = info = warning = error = critical = write


class OwnLoggers:
    """Makes them by name."""

    def __init__(self, out: TextIO | LineWriter) -> None:
        self._out = out

    def __call__(self, name: str = "gateway") -> OwnLogger:
        """The logger of this name."""
        return OwnLogger(self._out, name)
