"""The topic of letters read: newest or oldest first, or by place; and the event that answered a letter's command.

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

    async def event_of(self, letter: Letter) -> Event | None:
        """The event that answered a letter's command; None where there is none."""
        if letter.command is None or letter.command_offset is None:
            return None
        spans = await self.events_about({letter.partition: (letter.timestamp_ms, letter.timestamp_ms)})
        found: Event | None = None
        async for records in self.reader.forwards(self.topics.events, spans):
            for record in records:
                if read_integer(header(record.headers, COMMAND_OFFSET)) == letter.command_offset:
                    found = read_event(record) or found
        return found

    async def events_about(self, times_ms: Mapping[int, tuple[int, int]]) -> dict[int, Range]:
        """The events of each partition that were written from about the first of its times to about the last."""
        events = self.topics.events
        begins = await self.reader.at_time(events, {number: t[0] - EVENT_WITHIN_MS for number, t in times_ms.items()})
        later = await self.reader.at_time(events, {number: t[1] + EVENT_WITHIN_MS for number, t in times_ms.items()})
        ends = await self.reader.ends(events, times_ms)
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
