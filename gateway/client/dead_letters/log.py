"""The topic of letters read: newest or oldest first, or by place; and the events that answered their commands.

A letter and its event are written in one transaction, so the event is looked for among those written about when the
letter was, and nothing else of the events is read.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from gateway.client.dead_letters.letters import Letter, LetterRecord
from gateway.client.reading import Range, TopicReader
from schemas import DecodeError, Event, decode_event
from schemas.dead_letter import read_integer
from schemas.headers import COMMAND_OFFSET, content_type, header
from schemas.topics import Topics

EVENT_WITHIN_MS = 60_000  # between a letter's time and its event's
GAP = 1_000  # offsets that are rather read than jumped over
Place = tuple[int, int]  # partition and offset
T = TypeVar("T")


class LetterLog:
    """The dead-letter topic of one gateway."""

    def __init__(self, reader: TopicReader, topics: Topics) -> None:
        self.reader = reader
        self.topics = topics

    def read(self, record: Any) -> Letter:
        """Make a letter of aiokafka's record."""
        return Letter.read(record, commands_topic=self.topics.commands)

    async def ranges(self, partitions: Iterable[int] | None = None) -> dict[int, Range]:
        """What there is of letters now."""
        return await self.reader.ranges(self.topics.dead_letters, partitions)

    async def letters(
        self, ranges: Mapping[int, Range], *, oldest_first: bool = False
    ) -> AsyncGenerator[tuple[Letter, Mapping[int, int]]]:
        """Hand out letters, each with the offsets from which, or up to which, all has been handed out by then."""
        topic = self.topics.dead_letters
        if not oldest_first:
            async for letter, reached in self.reader.newest_first(topic, ranges, read=self.read):
                yield letter, reached
            return
        ends = {number: span.begin for number, span in ranges.items()}
        async for records in self.reader.forwards(topic, ranges):
            for record in records:
                ends[record.partition] = record.offset + 1
                yield self.read(record), ends

    async def at(self, places: Iterable[Place], read: Callable[[Any], T]) -> dict[Place, T]:
        """The letters at these places, as `read` makes them; what is no longer on the topic is missing."""
        wanted = set(places)
        there = await self.ranges({partition for partition, _ in wanted})
        found: dict[Place, T] = {}
        for partition, span in there.items():
            offsets = sorted(offset for number, offset in wanted if number == partition and offset >= span.begin)
            for run in _runs(offsets, GAP):
                bounds = Range(run[0], min(span.end, run[-1] + 1))
                async for records in self.reader.forwards(self.topics.dead_letters, {partition: bounds}):
                    places_here = [(partition, record.offset) for record in records]
                    found |= {
                        place: read(record)
                        for place, record in zip(places_here, records, strict=True)
                        if place in wanted
                    }
        return found

    async def records_at(self, places: Iterable[Place]) -> dict[Place, LetterRecord]:
        """The letters at these places with their bytes."""
        return await self.at(places, lambda record: LetterRecord(self.read(record), record))

    async def events_of(self, letters: Sequence[Letter]) -> dict[Place, Event]:
        """The events that answered these letters' commands, by the letter's place, as far as they are there."""
        asked: dict[tuple[int, int | None], Letter] = {
            (letter.partition, letter.command_offset): letter
            for letter in letters
            if letter.command is not None and letter.command_offset is not None
        }
        bursts: dict[int, list[list[int]]] = {}
        for partition in {letter.partition for letter in asked.values()}:
            times = sorted(letter.timestamp_ms for letter in asked.values() if letter.partition == partition)
            bursts[partition] = _runs(times, EVENT_WITHIN_MS)
        found: dict[Place, Event] = {}
        while bursts:  # one burst of letters of each partition at a time
            burst = {partition: waiting.pop() for partition, waiting in bursts.items()}
            async for records in self.reader.forwards(self.topics.events, await self._about(burst)):
                for record in records:
                    letter = asked.get((record.partition, read_integer(header(record.headers, COMMAND_OFFSET))))
                    event = None if letter is None else read_event(record)
                    if letter is not None and event is not None:
                        found[letter.partition, letter.offset] = event
            bursts = {partition: waiting for partition, waiting in bursts.items() if waiting}
        return found

    async def _about(self, bursts: Mapping[int, Sequence[int]]) -> dict[int, Range]:
        """The ranges of events that were written about these times."""
        events = self.topics.events
        begins = await self.reader.at_time(events, {number: t[0] - EVENT_WITHIN_MS for number, t in bursts.items()})
        later = await self.reader.at_time(events, {number: t[-1] + EVENT_WITHIN_MS for number, t in bursts.items()})
        ends = await self.reader.ends(events, bursts)
        spans: dict[int, Range] = {}
        for number, begin in begins.items():
            end = later.get(number)
            if begin is not None:
                spans[number] = Range(begin, ends[number] if end is None else end)
        return spans


def read_event(record: Any) -> Event | None:
    """The event of a record; None where it is none that the gateway wrote."""
    try:
        return decode_event(record.value or b"", content_type(record.headers))
    except DecodeError:
        return None


def _runs(numbers: Sequence[int], gap: int) -> list[list[int]]:
    """Sorted numbers in runs that are no further apart than this."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number - runs[-1][-1] <= gap:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs
