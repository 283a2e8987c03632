"""What was last done with letters; kept is only the state of those that are still on their topic."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any

from gateway.client.dead_letters.letters import Letter
from gateway.client.dead_letters.log import Place
from gateway.client.reading import Range, TopicFollower, TopicReader
from schemas import DecodeError
from schemas.disposition import DeadLetterDisposition, DispositionState, decode_disposition
from schemas.topics import Topics


class LetterStates:
    """The state of each letter of these partitions; letters that nothing was done with are open."""

    def __init__(self, follower: TopicFollower, letters: Mapping[int, Range]) -> None:
        self._follower = follower
        self._letters = letters
        self._states: dict[Place, DispositionState] = {}

    @classmethod
    async def open(cls, reader: TopicReader, topics: Topics, letters: Mapping[int, Range]) -> "LetterStates":
        """Read all that was done with the letters of these ranges."""
        begins = {number: span.begin for number, span in (await reader.ranges(topics.dispositions, letters)).items()}
        states = cls(TopicFollower(reader, topics.dispositions, begins), letters)
        await states.read_on()
        return states

    async def read_on(self) -> None:
        """Take in what was done since."""
        async for records in self._follower.read_on():
            for record in records:
                found = read_disposition(record)
                if found is not None:
                    place, disposition = found
                    if place[1] >= self._letters[place[0]].begin:
                        self._states[place] = disposition.state

    def of(self, letter: Letter) -> DispositionState:
        """What was last done with a letter."""
        return self.at((letter.partition, letter.offset))

    def at(self, place: Place) -> DispositionState:
        """What was last done with the letter at a place."""
        return self._states.get(place, "open")


async def all_dispositions(
    reader: TopicReader, topics: Topics, partitions: Iterable[int] | None = None
) -> AsyncGenerator[tuple[Place, DeadLetterDisposition]]:
    """Hand out the topic of dispositions from its beginning; of one letter the last counts."""
    async for records in reader.forwards(topics.dispositions, await reader.ranges(topics.dispositions, partitions)):
        for record in records:
            if (found := read_disposition(record)) is not None:
                yield found


def read_disposition(record: Any) -> tuple[Place, DeadLetterDisposition] | None:
    """A letter's place and its disposition; None where the record is none, or not on its letter's partition."""
    try:
        disposition = decode_disposition(record.value or b"")
    except DecodeError:
        return None
    partition, _, offset = disposition.letter.partition(":")
    is_there = record.key == disposition.letter.encode() and partition == str(record.partition) and offset.isdigit()
    return ((record.partition, int(offset)), disposition) if is_there else None
