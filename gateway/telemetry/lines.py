"""Writes log lines from a thread of its own, so that a reader that stops reading stops nothing but its log.

Logging hands finished lines in; what does not fit the bound is dropped and counted, never waited for.
"""

import os
import threading
import time
from typing import Self

MOST_CHARACTERS = 4 * 1024 * 1024
LONGEST_LINE = 32 * 1024  # a text from outside must not fill the bound alone
GATHER = 0.01  # seconds; to wake the thread for each line costs more than the line
FLUSH_PATIENCE = 1.0  # seconds that the exit waits for the reader


class LineWriter:
    """A text stream onto a file descriptor that never blocks who writes; use it with `with`.

    It writes past Python's own buffers: a thread that hangs inside of those would abort the interpreter at its exit.

    Attributes:
        dropped: lines that were not written, ever.
    """

    def __init__(self, descriptor: int, *, most_characters: int = MOST_CHARACTERS) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._most = most_characters
        self._waiting: list[str] = []
        self._size = 0
        self._writing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write_all, name="log lines", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.flush_within(FLUSH_PATIENCE)

    def write(self, line: str) -> int:
        """Take a line, or drop it where too much waits."""
        if len(line) > LONGEST_LINE:
            line = f"{line[:LONGEST_LINE]}…\n"
        with self._changed:
            if self._size + len(line) > self._most:
                self.dropped += 1
            else:
                if not self._waiting:
                    self._changed.notify()
                self._waiting.append(line)
                self._size += len(line)
        return len(line)

    def flush(self) -> None:
        """Nothing: lines go as soon as they can (logging calls this after each)."""

    def isatty(self) -> bool:
        """Whether a person reads along."""
        return os.isatty(self._descriptor)

    def flush_within(self, seconds: float) -> bool:
        """Wait until everything is written, for so long at most; whether it was."""
        until = time.monotonic() + seconds
        with self._changed:
            while self._waiting or self._writing:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
            time.sleep(GATHER)
            with self._changed:
                batch, self._waiting, self._writing = "".join(self._waiting), [], True
            written = _write(self._descriptor, batch.encode("utf-8", "backslashreplace"))
            with self._changed:
                self.dropped += 0 if written else batch.count("\n")
                self._size -= len(batch)
                self._writing = False
                self._changed.notify_all()


def _write(descriptor: int, data: bytes) -> bool:
    """Whether all of it was written: not where the reader is gone or the disk is full, of which nobody can be told."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        return False
    return True
