"""What the topics say of letters and lanes now: dispositions, answers and state, read to their ends and read on."""

from collections.abc import Iterable
from typing import Any

from gateway.client.dead_letters.letters import Letter, LetterState
from gateway.client.dead_letters.verdicts import LaneNow
from gateway.client.reading import Range, TopicReader
from schemas import DecodeError, Event, LeverageChanged, LeverageRejected, decode_event
from schemas.dead_letter import read_integer
from schemas.disposition import DeadLetterDisposition, decode_disposition
from schemas.headers import COMMAND_OFFSET, content_type, header
from schemas.targets import venue_of
from schemas.topics import Topics

LaneId = tuple[str, str, str]


class Known:
    """Dispositions by letter, the newest answer and leverage by lane, and venue codes by command."""

    def __init__(self, topics: Topics, *, partitions: Iterable[int] | None = None) -> None:
        self._topics = topics
        self._partitions = None if partitions is None else frozenset(partitions)
        self._read_to: dict[tuple[str, int], int] = {}
        self.dispositions: dict[str, DeadLetterDisposition] = {}
        self._lanes: dict[LaneId, LaneNow] = {}
        self._codes: dict[tuple[int, int], str] = {}
        self.outcomes: dict[str, str] = {}  # of redriven commands, by command id

    async def read_on(self, reader: TopicReader, *, answers: bool = True) -> None:
        """Take in what was written since the last time; `answers`: events and state too, not dispositions only."""
        await self._read(reader, self._topics.dispositions)
        if answers:
            await self._read(reader, self._topics.state)
            await self._read(reader, self._topics.events)

    def state_of(self, place: str) -> LetterState:
        """What was last done with a letter."""
        disposition = self.dispositions.get(place)
        return "open" if disposition is None else disposition.state

    def lane_of(self, letter: Letter) -> LaneNow:
        """What the letter's lane has."""
        key = letter.lane_key
        return LaneNow() if key is None else self._lanes.get(key, LaneNow())

    def code_of(self, letter: Letter) -> str | None:
        """The venue's code in the letter's event."""
        offset = letter.command_offset
        return None if offset is None else self._codes.get((letter.partition, offset))

    async def _read(self, reader: TopicReader, topic: str) -> None:
        spans = {
            number: Range(max(span.begin, self._read_to.get((topic, number), 0)), span.end)
            for number, span in (await reader.ranges(topic, self._partitions)).items()
        }
        async for records in reader.forwards(topic, spans):
            for record in records:
                self._take(topic, record)
        for number, span in spans.items():
            self._read_to[topic, number] = span.end

    def _take(self, topic: str, record: Any) -> None:
        try:
            if topic == self._topics.dispositions:
                self._take_disposition(record)
            else:
                event = decode_event(record.value or b"", content_type(record.headers))
                self._take_event(event, record, is_state=topic == self._topics.state)
        except DecodeError:
            return  # not written by the gateway, or a tombstone: it says nothing here

    def _take_disposition(self, record: Any) -> None:
        place = (record.key or b"").decode("utf-8", "replace")
        disposition = decode_disposition(record.value or b"")
        if place == disposition.letter and place.startswith(f"{record.partition}:"):
            self.dispositions[place] = disposition

    def _take_event(self, event: Event, record: Any, *, is_state: bool) -> None:
        key = (venue_of(event.target), event.account, event.lane)
        lane = self._lanes.get(key, LaneNow())
        offset = read_integer(header(record.headers, COMMAND_OFFSET))
        is_newer = offset is not None and offset > lane.answered_offset
        self._lanes[key] = LaneNow(
            leverage=event.leverage if isinstance(event, LeverageChanged) else lane.leverage,
            answered_offset=offset if offset is not None and is_newer else lane.answered_offset,
            answered_by=event.command_id if is_newer else lane.answered_by,
        )
        if is_state:
            return
        if event.redrive_of is not None:
            self.outcomes[event.command_id] = "changed" if isinstance(event, LeverageChanged) else event.reason
        if isinstance(event, LeverageRejected) and event.venue_code is not None and offset is not None:
            self._codes[record.partition, offset] = event.venue_code
