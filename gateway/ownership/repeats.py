"""The command ids answered lately or being answered now, so that a repeat gets no second call and no second event."""

from collections import OrderedDict

from msgspec import Struct


class RepeatWindow(Struct, frozen=True):
    """How long an answered id is remembered: the smaller of a count and an age in seconds."""

    count: int
    age: float


class Repeats:
    """The ids of one partition, told apart by record key, so that two accounts may count alike."""

    def __init__(self, window: RepeatWindow) -> None:
        self._window = window
        self._open: set[tuple[str, str]] = set()
        # Of a plain dict, the oldest entry is found by walking over all that were deleted before it.
        self._answered: OrderedDict[tuple[str, str], float] = OrderedDict()

    def is_repeat(self, key: str, command_id: str, now: float) -> bool:
        """Whether this id is being answered, or was, within the window; `now` in wall seconds."""
        self._forget(now)
        return (key, command_id) in self._open or (key, command_id) in self._answered

    def open(self, key: str, command_id: str) -> None:
        """Take note of a command that will be answered."""
        self._open.add((key, command_id))

    def answered(self, key: str, command_id: str, at: float) -> None:
        """Take note of an answer given at a wall time; answers come in about the order of time."""
        self._open.discard((key, command_id))
        self._answered.pop((key, command_id), None)
        self._answered[key, command_id] = at
        if len(self._answered) > self._window.count:
            self._answered.popitem(last=False)

    def _forget(self, now: float) -> None:
        while self._answered:
            oldest = next(iter(self._answered))
            if self._answered[oldest] > now - self._window.age:
                return
            self._answered.popitem(last=False)
