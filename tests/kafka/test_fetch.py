"""No record is passed over because another partition could not be read."""

from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, NotLeaderForPartitionError

from gateway.kafka import fetch
from gateway.kafka.commands_topic import SEEN_FOR, TopicMadeAnewError
from gateway.kafka.fetch import DAMAGED_FOR, CommandReader
from tests.kafka.batch_bytes import batch, record
from tests.kit.clocks import FakeClock
from tests.kit.topic_ids import TopicIds, topic_of

FIRST, SECOND = TopicPartition("commands", 0), TopicPartition("commands", 1)


class Consumer:
    """Stands for the client library's consumer whose parser gives up at whatever it fetched."""

    def __init__(self, answers):
        self._answers = answers
        self._client = SimpleNamespace(cluster=SimpleNamespace(leader_for_partition=lambda _: 1), send=self._send)
        self.sought = {}

    def seek(self, tp, offset):
        self.sought[tp] = offset

    def resume(self, tp):
        pass

    def assignment(self):
        return {FIRST, SECOND}

    async def getmany(self, *_wanted, **_more):
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    async def _send(self, _leader, request):
        ((topic, ((partition, offset, _),)),) = request._topics
        answer = self._answers[partition]
        if isinstance(answer, Exception):
            raise answer
        code, data = (answer, b"") if isinstance(answer, int) else (0, answer[offset:] and b"".join(answer[offset:]))
        return SimpleNamespace(topics=[(topic, [(partition, code, 9, 9, None, data)])])


class Silent:
    def unparsed(self, error):
        pass

    def damaged(self, partition, error):
        pass


class Hands(Consumer):
    """One whose parser reads what it fetched."""

    async def getmany(self, *_wanted, **_more):
        offset = self.sought[FIRST]
        self.sought[FIRST] += 1
        return {FIRST: [SimpleNamespace(partition=0, offset=offset, timestamp=0, key=b"", value=b"", headers=())]}


def reader(answers, clock=None, ids=None):
    clock = clock or FakeClock()
    consumer = Consumer(answers) if answers is not None else Hands(None)
    made = CommandReader(consumer, topic_of(ids or TopicIds(), clock), patience=1.0, clock=clock, observer=Silent())
    made.start(FIRST, 0)
    made.start(SECOND, 0)
    return made


@pytest.mark.parametrize("failure", [NotLeaderForPartitionError.errno, KafkaError("broken"), TimeoutError()])
async def test_a_partition_that_cannot_be_fetched_takes_no_record_of_another_with_it(failure):
    answers = {0: [batch(record(0))], 1: failure}
    commands = reader(answers)
    handed_out = await fetched(commands)
    answers[1] = [batch(record(0))]
    handed_out += await fetched(commands)
    assert sorted(handed_out) == [(0, 0), (1, 0)]


async def test_where_no_partition_can_be_fetched_the_error_is_raised():
    with pytest.raises(NotLeaderForPartitionError):
        await reader(dict.fromkeys((0, 1), NotLeaderForPartitionError.errno)).fetch(timeout_ms=1, max_records=1)


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr(fetch, "DAMAGE_PAUSE", 0.0)


@pytest.mark.usefixtures("no_pause")
async def test_a_batch_that_comes_damaged_is_fetched_again_for_seconds_before_it_is_passed_over():
    clock, damaged = FakeClock(), batch(record(0), crc=1)
    answers = {0: [damaged], 1: [batch(record(0))]}
    commands = reader(answers, clock)
    assert await fetched(commands) == [(1, 0)]
    clock.advance(DAMAGED_FOR - 0.1)
    for _ in range(100):
        assert await fetched(commands) == []
    clock.advance(0.1)
    passed = (await commands.fetch(timeout_ms=1, max_records=100))[FIRST][0]
    assert (passed.offset, passed.value) == (0, damaged)


@pytest.mark.usefixtures("no_pause")
async def test_a_batch_that_was_damaged_on_the_way_is_read_once_it_comes_whole_and_the_seconds_begin_anew():
    clock, answers = FakeClock(), {0: [batch(record(0), crc=1)], 1: [b""]}
    commands = reader(answers, clock)
    assert await fetched(commands) == []
    clock.advance(DAMAGED_FOR - 0.1)
    answers[0] = [batch(record(0)), batch(record(0), base=1, crc=1)]
    assert await fetched(commands) == [(0, 0)]
    clock.advance(0.2)
    assert await fetched(commands) == []


@pytest.mark.parametrize("answers", [None, {0: [batch(record(0)), batch(record(0), base=1)], 1: [b""]}])
async def test_no_record_is_used_of_a_topic_that_was_made_anew_since(answers):
    clock, ids = FakeClock(), TopicIds()
    commands = reader(answers, clock, ids)
    assert (0, 0) in await fetched(commands)
    clock.advance(SEEN_FOR)
    ids.number = 2
    with pytest.raises(TopicMadeAnewError):
        await commands.fetch(timeout_ms=1, max_records=100)
    assert ids.asked == 2


async def test_what_nobody_says_of_which_topic_it_is_is_fetched_again():
    ids = TopicIds()
    commands = reader(None, ids=ids)
    ids.error = KafkaError("not now")
    assert await fetched(commands) == []
    ids.error = None
    assert await fetched(commands) == [(0, 0)]


async def test_the_topic_is_asked_for_once_in_a_while_only():
    clock, ids = FakeClock(), TopicIds()
    commands = reader(None, clock, ids)
    for _ in range(100):
        await fetched(commands)
        clock.advance(SEEN_FOR / 10)
    assert ids.asked == 10


async def test_a_partition_that_begins_elsewhere_while_the_topic_is_asked_for_is_fetched_from_there():
    ids = TopicIds()
    commands = reader(None, ids=ids)
    ids.during = lambda: commands.start(FIRST, 7)
    assert await fetched(commands) == []
    assert await fetched(commands) == [(0, 7)]


async def fetched(commands):
    try:
        found = await commands.fetch(timeout_ms=1, max_records=100)
    except (KafkaError, TimeoutError):
        return []
    return [(record.partition, record.offset) for records in found.values() for record in records]
