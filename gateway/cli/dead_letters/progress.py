"""How far a redrive is, on standard error: a bar on a terminal, else a line now and then while it waits."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.cli.printing import plain

TELL_AGAIN = 10.0  # seconds between two lines where there is no terminal


class RedriveProgress:
    """Shows letters done of all, and why it waits."""

    def __init__(self, total: int) -> None:
        self._progress: Progress | None = None
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
            self._progress = Progress(
                *columns,
                TimeRemainingColumn(),
                console=Console(stderr=True),
                redirect_stdout=sys.stdout.isatty(),  # rows go above the bar
                redirect_stderr=False,
            )
            self._task = self._progress.add_task("redrive", total=total)
        self._told_at = time.monotonic()

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def advance(self) -> None:
        """One letter more."""
        if self._progress is not None:
            self._progress.update(self._task, advance=1, description="redrive")

    def tell(self, why: str) -> None:
        """Say why it waits."""
        if self._progress is not None:
            self._progress.update(self._task, description=f"waiting: {plain(why)}")
        elif time.monotonic() > self._told_at + TELL_AGAIN:
            self._told_at = time.monotonic()
            sys.stderr.write(f"waiting: {plain(why)}\n")
            sys.stderr.flush()
