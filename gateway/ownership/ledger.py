"""Which commands of one partition are unanswered, and what a commit must say so that a successor knows it too.

Pure: no await, no clock. `partition` feeds it what was fetched and answered; `kafka.group` commits what it says.
The events and dead-letter topics are the real ledger: each answer carries its command's offset, so a successor that
reads them from the committed `LogPosition` on knows every answer given above the committed offset.
"""

from collections.abc import Mapping
from math import ceil
from types import MappingProxyType
from typing import NamedTuple, Self


class LogPosition(NamedTuple):
    """Where to start reading the answer topics (offsets of partition p of events and of dead letters)."""

    events: int
    dead_letters: int

    def after(self, other: "LogPosition") -> "LogPosition":
        """The later of both, topic by topic."""
        return LogPosition(max(self.events, other.events), max(self.dead_letters, other.dead_letters))


class Checkpoint(NamedTuple):
    """What is committed for a partition: the lowest unanswered offset, and in the metadata the rest.

    Attributes:
        offset: the lowest unanswered command's offset; everything below is answered.
        mark: reading answers from here finds every answer to a command at or above `offset`.
        clean: the owner left with no call in flight, so a successor need not wait for one.
        is_first: nobody has committed anything for the partition, so there was no owner.
        is_anew: calls for commands of a topic that was deleted since may be under way, on any lane; never with `clean`.
        called_at: no call of its owners counts against a limit from later than that, in wall seconds; None: not known.
    """

    offset: int
    mark: LogPosition
    clean: bool
    is_first: bool = False
    called_at: float | None = None
    is_anew: bool = False

    @property
    def metadata(self) -> str:
        """The commit's metadata text."""
        called_at = "" if self.called_at is None else f" {ceil(self.called_at)}"
        state = "clean" if self.clean else "anew" if self.is_anew else "open"
        return f"1 {self.mark.events} {self.mark.dead_letters} {state}{called_at}"

    @classmethod
    def read(cls, offset: int, metadata: str) -> Self:
        """Read a commit; metadata that is not ours means: read every answer there is, and trust nothing."""
        words = metadata.split()
        match words:
            case ["1", events, dead_letters, state, *more] if all(map(str.isdecimal, [events, dead_letters, *more])):
                called_at = float(more[0]) if more else None
                position = LogPosition(int(events), int(dead_letters))
                return cls(offset, position, state == "clean", called_at=called_at, is_anew=state == "anew")
            case _:
                return cls(offset, LogPosition(0, 0), clean=False)


NOTHING: Mapping[int, int] = MappingProxyType({})


class Ledger:
    """The unanswered commands of one partition, in offset order, each with the mark its successor would need.

    A command's mark is the end of the answer topics when it was fetched: answers to later commands come later. Commands
    that a predecessor may have answered keep the mark from which the ledger was restored.
    """

    def __init__(
        self, checkpoint: Checkpoint, end: LogPosition, answered: Mapping[int, int] = NOTHING, *, untold_below: int = 0
    ) -> None:
        """Start from a checkpoint, with what the answer topics say: their end, and what is answered (`Tail`).

        `untold_below`: commands below this offset may have been answered by events that are deleted. Their mark stays
        before those, so that a successor sees it too.
        """
        self._position = checkpoint.offset
        self._restored_mark = checkpoint.mark
        self._answered_before = {offset: of for offset, of in answered.items() if offset >= checkpoint.offset}
        self._restored_end = max(max(self._answered_before, default=-1) + 1, untold_below)
        self._end = end.after(checkpoint.mark)
        self._unanswered: dict[int, LogPosition] = {}

    @property
    def position(self) -> int:
        """The next offset to fetch."""
        return self._position

    @property
    def end(self) -> LogPosition:
        """Where the answer topics end as far as this owner knows."""
        return self._end

    @property
    def incomplete(self) -> int:
        """How many fetched commands are unanswered."""
        return len(self._unanswered)

    def answered_as(self, offset: int) -> int | None:
        """The fingerprint of what a predecessor answered at an offset that was not fetched yet; None: nothing."""
        return self._answered_before.get(offset)

    def retract(self, offset: int) -> None:
        """Take note that what was answered there is not what is there now."""
        del self._answered_before[offset]

    def fetch(self, offset: int) -> bool:
        """Take note of a fetched command; False where it was answered before, or was fetched already."""
        if offset < self._position:
            return False
        self._position = offset + 1
        if offset in self._answered_before:
            del self._answered_before[offset]
            return False
        self._unanswered[offset] = self._mark_for(offset)
        return True

    def answer(self, offset: int) -> None:
        """Take note that a command's answer is committed; KeyError where it was not waiting for one."""
        del self._unanswered[offset]

    def advance(self, end: LogPosition) -> None:
        """Take note of the answer topics' new end after a transaction of ours."""
        self._end = self._end.after(end)

    def checkpoint(self, *, clean: bool = False) -> Checkpoint:
        """What to commit now."""
        offset, mark = next(iter(self._unanswered.items()), (self._position, self._mark_for(self._position)))
        return Checkpoint(offset, mark, clean)

    def _mark_for(self, offset: int) -> LogPosition:
        return self._restored_mark if offset < self._restored_end else self._end
