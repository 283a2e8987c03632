"""No record is passed over because another partition could not be read."""

from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, NotLeaderForPartitionError

from gateway.kafka.fetch import CommandReader
from tests.kafka.batch_bytes import batch, record

FIRST, SECOND = TopicPartition("commands", 0), TopicPartition("commands", 1)


class Consumer:
    """Stands for the client library's consumer whose parser gives up at whatever it fetched."""

    def __init__(self, answers):
        self._answers = answers
        self._client = SimpleNamespace(cluster=SimpleNamespace(leader_for_partition=lambda _: 1), send=self._send)

    def seek(self, tp, offset):
        pass

    def resume(self, tp):
        pass

    def assignment(self):
        return {FIRST, SECOND}

    def paused(self):
        return set()

    async def getmany(self, **_):
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


def reader(answers):
    made = CommandReader(Consumer(answers), patience=1.0, observer=Silent())
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


async def fetched(commands):
    try:
        found = await commands.fetch(timeout_ms=1, max_records=100)
    except (KafkaError, TimeoutError):
        return []
    return [(record.partition, record.offset) for records in found.values() for record in records]
