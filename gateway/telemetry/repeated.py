"""Bounds how often one warning is logged: while a fault lasts, libraries and our own retries say the same each time.

A filter of the logs' handler, and a processor of our own events; what it holds back is counted, and the next line of
the kind tells how many there were.
"""

import logging
import re
from collections import OrderedDict
from collections.abc import Callable

from structlog.exceptions import DropEvent
from structlog.typing import EventDict, WrappedLogger

LIBRARY_PAUSE = 10.0  # seconds between two lines of one kind
OWN_PAUSE = 1.0
OWN_EVENTS = frozenset({"missed_kafka", "unknown_transaction"})  # told at every try, of every partition
KINDS_KEPT = 1_000
UNSAID = frozenset({"Sending username and password in the clear"})  # of every connection; `app` says it once
UNASKED = "Future exception was never retrieved"
_NUMBERS = re.compile(r"\d+")


class RepeatFilter(logging.Filter):
    """Lets a kind of line pass once in a while; other lines always."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._kinds: OrderedDict[str, list[float]] = OrderedDict()  # when the next may pass, and how many were held

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes; one that passes is told how many like it did not."""
        if isinstance(record.msg, str) and (record.msg in UNSAID or _is_told_elsewhere(record)):
            return False
        if record.levelno < logging.WARNING:
            return True
        held = self._held_back(f"{record.name} {_kind_text(record.msg)}", LIBRARY_PAUSE)
        if held:
            record.msg = f"{record.msg} ({held} more like this were not logged)"
        return held is not None

    def pass_event(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """The event, with how many like it did not pass; DropEvent where it does not."""
        name = event.get("event")
        if name not in OWN_EVENTS:
            return event
        held = self._held_back(f"{name} {_kind_text(event.get('doing'))}", OWN_PAUSE)
        if held is None:
            raise DropEvent
        return {**event, "not_logged": held} if held else event

    def _held_back(self, kind: str, pause: float) -> int | None:
        """How many of this kind were held back since the last that passed; None where this one is."""
        now = self._monotonic()
        entry = self._kinds.setdefault(kind, [now, 0])
        if now < entry[0]:
            entry[1] += 1
            return None
        held = int(entry[1])
        entry[:] = [now + pause, 0]
        self._kinds.move_to_end(kind)
        if len(self._kinds) > KINDS_KEPT:
            self._kinds.popitem(last=False)
        return held


def _is_told_elsewhere(record: logging.LogRecord) -> bool:
    """Whether it is of an error that aiokafka gave to whoever asked it, and to a future of its own besides."""
    error = record.exc_info[1] if record.exc_info else None
    return record.getMessage().startswith(UNASKED) and type(error).__module__.startswith("aiokafka.")


def _kind_text(text: object) -> str:
    return _NUMBERS.sub("#", str(text))[:200]
