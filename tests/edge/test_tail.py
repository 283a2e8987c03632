"""The events topic is read as it grows: what is committed, in order, whatever becomes of one of its leaders."""

import asyncio
from io import BytesIO

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import LeaderNotAvailableError, NotLeaderForPartitionError, OffsetOutOfRangeError
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v4, FetchRequest_v11, FetchResponse_v11
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.fetch import Fetch
from gateway.edge.tail import LogFollower
from gateway.kafka_clients import start_client, stop_client
from tests.kit.clocks import FakeClock

OPTIONS = {"fetch_max_wait_ms": 100, "check_crcs": True}
numbers = st.integers(0, 2**31 - 1)
offsets = st.integers(-1, 2**63 - 1)
topic_names = st.from_regex(r"[a-z.]{1,20}", fullmatch=True)
asked = st.lists(st.tuples(topic_names, st.lists(st.tuples(numbers, offsets, numbers), max_size=3)), max_size=3)
aborted = st.none() | st.lists(st.tuples(offsets, offsets), max_size=3)
answer = st.tuples(numbers, st.integers(-1, 99), offsets, offsets, offsets, aborted, numbers, st.none() | st.binary())
answers = st.lists(st.tuples(topic_names, st.lists(answer, max_size=3)), max_size=3)


@given(asked, st.sampled_from([FetchRequest_v4, FetchRequest_v11]))
def test_a_fetch_is_written_as_aiokafka_writes_it(topics, version):
    about = 100, 1, 1_000, 1, topics
    ours, theirs = Fetch(*about).build(version), FetchRequest(*about).build(version)
    assert ours.encode() == theirs.encode()
    header = {"correlation_id": 7, "client_id": "edge"}
    assert ours.build_request_header(**header).encode() == theirs.build_request_header(**header).encode()
    assert ours.parse_response_header(BytesIO(b"\0\0\0\7rest")).correlation_id == 7


@given(answers)
def test_an_answer_is_read_as_aiokafka_reads_it(topics):
    data = FetchResponse_v11(0, 0, 0, topics).encode()
    request = Fetch(100, 1, 1_000, 1, []).build(FetchRequest_v11)
    ours, theirs = request.RESPONSE_TYPE.decode(BytesIO(data)), FetchResponse_v11.decode(BytesIO(data))

    def plain(found):
        return [
            (topic, [(*part[:5], [tuple(one) for one in part[5] or []], part[6], part[7] or b"") for part in parts])
            for topic, parts in found
        ]

    assert plain(ours.topics) == plain(theirs.topics)


class Leaders:
    """aiokafka's client, as far as a tail asks it: each leader answers when it is let."""

    def __init__(self, leaders):
        self.leaders = leaders
        self.found = {}
        self.asked = {}
        self.updates = 0
        self.cluster = self
        self._client = self

    def leader_for_partition(self, tp):
        return self.leaders.get(tp.partition)

    def force_metadata_update(self):
        self.updates += 1
        self.leaders |= self.found
        future = asyncio.get_running_loop().create_future()
        future.set_result(True)
        return future

    async def send(self, leader, request):
        assert leader not in self.asked, "one at a time"
        self.asked[leader] = asyncio.get_running_loop().create_future(), request.topics[0][1]
        return await self.asked[leader][0]

    def answer(self, leader, *, error_code=0, refused=()):
        future, partitions = self.asked.pop(leader)
        found = [
            (number, error_code if number in refused else 0, offset, offset, 0, [], -1, b"")
            for number, offset, _ in partitions
        ]
        future.set_result(FetchResponse_v11(0, 0, 0, [("events", found)]))


async def asked_of(client, leader):
    async with asyncio.timeout(5):
        while leader not in client.asked:  # noqa: ASYNC110 - the fetch is a task of the tail
            await asyncio.sleep(0)


async def test_a_leader_that_is_silent_holds_up_no_other_and_what_it_has_is_not_called_current():
    client, clock = Leaders({0: 1, 1: 2}), FakeClock()
    tail = LogFollower(client, "events", {0: 5, 1: 7}, OPTIONS, clock.monotonic)
    for _ in range(3):
        reading = asyncio.create_task(tail.read())
        await asked_of(client, 1)
        client.answer(1)
        assert [part.partition for part in await reading] == [0]
    assert tail.current_at == float("-inf")
    clock.advance(3.0)
    reading = asyncio.create_task(tail.read())
    await asked_of(client, 1)
    client.answer(2)
    await reading
    assert tail.current_at == 1000.0, "as of when it was asked, not of when it answered"
    await tail.close()


async def test_a_partition_that_is_refused_holds_up_no_other_of_its_leader():
    client = Leaders({0: 1, 1: 1})
    tail = LogFollower(client, "events", {0: 5, 1: 7}, OPTIONS, FakeClock().monotonic)
    reading = asyncio.create_task(tail.read())
    await asked_of(client, 1)
    client.answer(1, error_code=NotLeaderForPartitionError.errno, refused=[0])
    assert [part.partition for part in await reading] == [1]
    with pytest.raises(NotLeaderForPartitionError):
        await tail.read()
    assert client.updates == 1
    reading = asyncio.create_task(tail.read())
    await asked_of(client, 1)
    client.answer(1, error_code=OffsetOutOfRangeError.errno, refused=[1])
    assert [part.partition for part in await reading] == [0]
    with pytest.raises(OffsetOutOfRangeError):
        await tail.read()


async def test_a_leader_that_is_not_known_yet_is_asked_for_first_and_none_is_an_error():
    client = Leaders({})
    client.found = {0: 1}
    tail = LogFollower(client, "events", {0: 5}, OPTIONS, FakeClock().monotonic)
    reading = asyncio.create_task(tail.read())
    await asked_of(client, 1)
    client.answer(1)
    assert [part.partition for part in await reading] == [0]
    client.leaders, client.found = {0: -1}, {}
    with pytest.raises(LeaderNotAvailableError):
        await tail.read()


async def test_only_what_is_committed_is_read_in_order_and_where_nothing_is_left_it_is_current(kafka_bootstrap, topics):
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, transactional_id=topics.events)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka_bootstrap, isolation_level="read_committed")
    await start_client(producer)
    await start_client(consumer)
    try:
        tp = TopicPartition(topics.events, 0)
        consumer.assign([tp])
        consumer.pause(tp)
        tail = LogFollower(consumer, topics.events, {0: 0}, OPTIONS, FakeClock().monotonic)
        for number in range(6):
            await producer.begin_transaction()
            for part in range(2):
                await producer.send_and_wait(topics.events, b"%d-%d" % (number, part), partition=0)
            await (producer.abort_transaction() if number % 3 == 1 else producer.commit_transaction())
        found = []
        async with asyncio.timeout(30):
            while len(found) < 8 or tail.current_at < 0:
                found += [record.value for part in await tail.read() for record in part.records]
        assert found == [b"%d-%d" % (number, part) for number in (0, 2, 3, 5) for part in range(2)]
        assert tail.offsets == {0: 18}
        await producer.begin_transaction()
        await producer.send_and_wait(topics.events, b"open", partition=0)
        assert [part for part in await tail.read() if part.records] == []
        assert tail.offsets == {0: 18}
        await producer.abort_transaction()
        await tail.close()
    finally:
        await stop_client(consumer)
        await stop_client(producer)
