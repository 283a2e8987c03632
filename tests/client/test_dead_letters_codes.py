"""The venues' codes of letters: each event is read once, and none is kept that is far from the letters at hand."""

import pytest
from msgspec.structs import replace

from gateway.client.dead_letters import codes
from gateway.client.dead_letters.codes import VenueCodes, bursts_of
from gateway.client.dead_letters.letters import Letter
from gateway.client.dead_letters.log import EVENT_WITHIN_MS, LetterLog
from gateway.client.reading import Range
from schemas import encode
from schemas.dead_letter import LetterErrors
from schemas.topics import Topics
from tests.client.letters import command, rejected

MINUTE = EVENT_WITHIN_MS


class Record:
    def __init__(self, offset, timestamp):
        self.partition, self.offset, self.timestamp = 0, offset, timestamp
        self.value = encode(rejected(offset, venue_code=f"-{offset}", dead_lettered=True))
        self.headers = [("gateway-command-offset", b"%d" % offset)]


class Events:
    """A reader of one partition of events, one every ten seconds, that remembers what was read."""

    def __init__(self, count):
        self.records = [Record(offset, offset * MINUTE // 6) for offset in range(count)]
        self.read: list[int] = []

    async def at_time(self, _topic, times_ms):
        later = [record.offset for record in self.records if record.timestamp >= times_ms[0]]
        return {0: later[0] if later else None}

    async def ends(self, _topic, _partitions):
        return {0: len(self.records)}

    async def forwards(self, _topic, spans):
        found = [record for record in self.records if spans[0].begin <= record.offset < spans[0].end]
        self.read += [record.offset for record in found]
        yield found


def letter(number):
    return Letter(
        partition=0,
        offset=number,
        timestamp_ms=number * MINUTE // 6,
        command=command(number),
        undecodable_because=None,
        errors=LetterErrors(),
        command_offset=number,
        redrives=0,
        batch=None,
    )


@pytest.mark.parametrize("is_newest_first", [True, False])
async def test_each_event_is_read_once_however_many_chunks_of_letters_there_are(is_newest_first):
    events = Events(600)
    looked_up = VenueCodes(LetterLog(events, Topics()))
    chunks = [[letter(start + number) for number in range(50)] for start in range(0, 600, 50)]
    for chunk in reversed(chunks) if is_newest_first else chunks:
        assert await looked_up.of(chunk) == {(0, one.offset): f"-{one.offset}" for one in chunk}
        assert len(looked_up._windows[0].codes) <= 50 + 12
    assert sorted(events.read) == list(range(600))


async def test_what_lies_between_two_bursts_of_letters_is_not_read():
    events = Events(600)
    looked_up = VenueCodes(LetterLog(events, Topics()))
    found = await looked_up.of([letter(5), letter(595)])
    assert found == {(0, 5): "-5", (0, 595): "-595"}
    assert len(events.read) < 30
    assert [[one.offset for one in burst] for burst in bursts_of([letter(9), letter(3), letter(20)])] == [[3, 9], [20]]


async def test_letters_without_a_command_or_its_place_ask_for_nothing():
    events = Events(10)
    lost = [replace(letter(1), command=None), replace(letter(2), command_offset=None)]
    assert await VenueCodes(LetterLog(events, Topics())).of(lost) == {}
    assert events.read == []


def test_a_window_that_moves_away_is_read_anew():
    window = codes._Window(Range(10, 20))
    assert window.move(Range(10, 20)) == [Range(10, 20)]
    assert window.move(Range(5, 15)) == [Range(5, 10)]
    assert window.move(Range(0, 30)) == [Range(0, 5), Range(15, 30)]
    assert window.move(Range(40, 50)) == [Range(40, 50)]
