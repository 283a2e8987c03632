"""The venues' codes of letters, from the events that answered their commands.

A letter and its event are written in one transaction, so the event is looked for among those written about when the
letter was. Lists go through the letters by time, so the window of events that is held moves with them: none is read
twice, and none is kept that is far from the letters at hand.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gateway.client.dead_letters.letters import Letter
from gateway.client.dead_letters.log import EVENT_WITHIN_MS, LetterLog, Place, read_event
from gateway.client.reading import Range
from schemas import LeverageRejected
from schemas.dead_letter import read_integer
from schemas.headers import COMMAND_OFFSET, header


class _Code(NamedTuple):
    event_offset: int
    code: str


class _Window:
    """What was read of one partition of events: its range, and in it the codes by the command's offset."""

    def __init__(self, span: Range) -> None:
        self.span = Range(span.begin, span.begin)
        self.codes: dict[int, _Code] = {}

    def move(self, span: Range) -> list[Range]:
        """Forget what is outside of this range, and return what of it is not read yet."""
        old, self.span = self.span, span
        if old.end <= span.begin or span.end <= old.begin:
            self.codes.clear()
            return [span]
        if old.begin < span.begin or old.end > span.end:
            self.codes = {
                offset: one for offset, one in self.codes.items() if span.begin <= one.event_offset < span.end
            }
        missing = [Range(span.begin, old.begin), Range(old.end, span.end)]
        return [one for one in missing if one.begin < one.end]

    def take(self, record: Any) -> None:
        """Note the code of one event, if it has one."""
        offset = read_integer(header(record.headers, COMMAND_OFFSET))
        event = None if offset is None else read_event(record)
        if offset is not None and isinstance(event, LeverageRejected) and event.venue_code is not None:
            self.codes[offset] = _Code(record.offset, event.venue_code)


class VenueCodes:
    """Looks up the codes of letters, which come in the order of their time or nearly so."""

    def __init__(self, log: LetterLog) -> None:
        self._log = log
        self._windows: dict[int, _Window] = {}

    async def of(self, letters: Sequence[Letter]) -> dict[Place, str]:
        """The codes of these letters, by the letter's place; what has none is missing."""
        asked = [letter for letter in letters if letter.command is not None and letter.command_offset is not None]
        bursts = {
            partition: bursts_of([letter for letter in asked if letter.partition == partition])
            for partition in {letter.partition for letter in asked}
        }
        codes: dict[Place, str] = {}
        while bursts:  # one of each partition at a time
            burst = {partition: waiting.pop() for partition, waiting in bursts.items()}
            await self._read(burst)
            for partition, theirs in burst.items():
                known = self._windows[partition].codes if partition in self._windows else {}
                codes |= {
                    (partition, letter.offset): known[letter.command_offset].code
                    for letter in theirs
                    if letter.command_offset in known
                }
            bursts = {partition: waiting for partition, waiting in bursts.items() if waiting}
        return codes

    async def _read(self, burst: Mapping[int, Sequence[Letter]]) -> None:
        times = {number: (theirs[0].timestamp_ms, theirs[-1].timestamp_ms) for number, theirs in burst.items()}
        missing: dict[int, list[Range]] = {}
        for number, span in (await self._log.events_about(times)).items():
            missing[number] = self._windows.setdefault(number, _Window(span)).move(span)
        while any(missing.values()):
            spans = {number: ranges.pop() for number, ranges in missing.items() if ranges}
            async for records in self._log.reader.forwards(self._log.topics.events, spans):
                for record in records:
                    self._windows[record.partition].take(record)


def bursts_of(letters: Sequence[Letter]) -> list[list[Letter]]:
    """Letters by time, in runs without a pause in which events are not looked for."""
    bursts: list[list[Letter]] = []
    for letter in sorted(letters, key=lambda one: one.timestamp_ms):
        if bursts and letter.timestamp_ms - bursts[-1][-1].timestamp_ms <= EVENT_WITHIN_MS:
            bursts[-1].append(letter)
        else:
            bursts.append([letter])
    return bursts
