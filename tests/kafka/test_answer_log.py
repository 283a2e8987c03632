import asyncio
import contextlib
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError, TransactionalIdAuthorizationFailed

import schemas
from gateway.clock import SystemClock
from gateway.kafka.answer_log import KafkaAnswerLog
from gateway.kafka.connection import UnreachableError
from gateway.kafka.tail import Groups
from gateway.kafka_clients import KafkaClients
from gateway.ownership.ledger import LogPosition
from gateway.ownership.ports import ForeignAnswersError, OutRecord
from gateway.ownership.repeats import RepeatWindow
from schemas import decode_event
from schemas.headers import COMMAND_OFFSET, GROUP
from schemas.topics import Topics

pytestmark = pytest.mark.kafka

START = LogPosition(0, 0)
EVENT = Path(schemas.__file__).parent / "generated" / "examples" / "leverage-rejected.expired.json"


@pytest.fixture
async def open_log(kafka_bootstrap: str, topics: Topics):
    async with contextlib.AsyncExitStack() as stack:

        def make(
            partition: int = 1,
            transaction_timeout_ms: int = 10_000,
            transactional_id: str | None = None,
            former: tuple[str, ...] = (),
        ) -> KafkaAnswerLog:
            log = KafkaAnswerLog(
                clients=KafkaClients({"bootstrap_servers": kafka_bootstrap}),
                topics=topics,
                partition=partition,
                transactional_id=transactional_id or f"{topics.commands}-{partition}",
                groups=Groups("ours", former),
                transaction_timeout_ms=transaction_timeout_ms,
                patience=10,
                clock=SystemClock(),
            )
            stack.push_async_callback(log.close)
            return log

        yield make


def answer(offset: int, topic="events") -> OutRecord:
    return OutRecord(topic, b"k", b'{"command_id": "c%d"}' % offset, [(COMMAND_OFFSET, b"%d" % offset)])


async def offsets(log: KafkaAnswerLog, start: LogPosition = START, window: RepeatWindow | None = None) -> list[int]:
    return sorted((await log.read(start, window)).answered)


async def test_what_was_committed_is_read_back_to_the_end(open_log):
    log = open_log()
    await log.fence()
    first = await log.write([answer(5), answer(5, "state"), answer(6)])
    second = await log.write([answer(7), answer(8, "dead_letters")])

    tail = await log.read(START)

    assert first == LogPosition(3, 0)  # the commit marker takes an offset too
    assert second == tail.end == LogPosition(5, 2)
    assert set(tail.answered) == {5, 6, 7, 8}
    assert tail.is_complete
    assert await offsets(log, second) == []


async def test_a_dead_letter_that_looks_like_an_event_names_no_command(open_log):
    log = open_log()
    await log.fence()
    event = EVENT.read_bytes()
    command_id = decode_event(event).command_id
    headers = [(COMMAND_OFFSET, b"5")]
    await log.write([OutRecord(topic, b"k", event, headers) for topic in ("events", "dead_letters")])
    recent = (await log.read(START, RepeatWindow(count=1000, age=3600))).recent
    assert [(answered.key, answered.command_id) for answered in recent] == [("k", command_id)]


async def test_reading_an_empty_partition_ends_at_once(open_log):
    log = open_log()
    await log.fence()
    tail = await log.read(START, RepeatWindow(100, 100))
    assert not tail.answered
    assert not tail.recent
    assert tail.end == START


async def test_a_new_owner_fences_the_old_one_and_aborts_what_it_left_open(open_log):
    old, new = open_log(), open_log()
    await old.fence()
    await old.write([answer(1)])
    producer = old._producer
    await producer.begin_transaction()
    await producer.send_and_wait(
        old._names["events"], b"never committed", partition=1, headers=[(COMMAND_OFFSET, b"2")]
    )

    await new.fence()

    assert await offsets(new) == [1]
    with pytest.raises(KafkaError):
        await producer.commit_transaction()
    assert await offsets(new) == [1]


async def test_an_old_owner_without_an_open_transaction_can_begin_none_after_it_was_fenced(open_log):
    old, new = open_log(), open_log()
    await old.fence()
    await old.write([answer(1)])
    await new.fence()
    with pytest.raises(KafkaError):
        await old.write([answer(2)])
    assert await offsets(new) == [1]


async def test_the_repeat_window_reaches_back_before_the_mark(open_log):
    log = open_log()
    await log.fence()
    for offset in range(6):
        mark = await log.write([answer(offset)])

    async def recent(window: RepeatWindow | None = None) -> list[str]:
        tail = await log.read(mark, window)
        assert not tail.answered
        return [answered.command_id for answered in tail.recent]

    assert await recent() == []
    assert await recent(RepeatWindow(count=1000, age=3600)) == ["c0", "c1", "c2", "c3", "c4", "c5"]
    assert await recent(RepeatWindow(count=2, age=3600)) == ["c4", "c5"]
    assert await recent(RepeatWindow(count=1000, age=0)) == []


async def test_of_what_is_answered_only_what_is_asked_for_is_kept(open_log):
    log = open_log()
    await log.fence()
    await log.write([answer(offset) for offset in range(50)] + [answer(offset, "dead_letters") for offset in range(50)])
    tail = await log.read(START, RepeatWindow(count=3, age=3600), lowest=48)
    assert set(tail.answered) == {48, 49}
    assert [answered.command_id for answered in tail.recent] == ["c47", "c48", "c49"]


async def test_events_deleted_beyond_the_mark_are_noticed_and_those_deleted_below_it_do_not_matter(
    open_log, topics, kafka_bootstrap
):
    log = open_log()
    await log.fence()
    first = await log.write([answer(1)])
    last = await log.write([answer(2)])
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    events = TopicPartition(topics.events, 1)
    await admin.delete_records({events: RecordsToDelete(first.events)})
    assert not (await log.read(START)).is_complete
    assert (await log.read(first)).is_complete
    await admin.delete_records({events: RecordsToDelete(-1)})
    assert not (await log.read(first)).is_complete
    assert (await log.read(last)).is_complete, "all that is gone was before it"
    await admin.close()


async def test_a_write_cancelled_halfway_costs_the_producer_and_loses_nothing_after_a_fence(open_log):
    log = open_log()
    await log.fence()
    write = asyncio.create_task(log.write([answer(1)]))
    await asyncio.sleep(0)
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    with pytest.raises(KafkaError, match="fence first"):
        await log.write([answer(1)])

    await log.fence()
    if not await offsets(log):
        await log.write([answer(1)])
    await log.fence()  # a commit is told before it can be read: a fence waits for it
    assert await offsets(log) == [1]


async def test_a_transaction_timeout_above_the_brokers_is_told_with_both_settings_and_not_tried_again(open_log):
    with pytest.raises(UnreachableError, match=r"kafka\.transaction_timeout_ms: .* transaction\.max\.timeout\.ms"):
        await open_log(transaction_timeout_ms=2**31 - 1).fence()


async def test_a_missing_right_on_the_transactional_id_is_told_by_its_name(open_log, topics, monkeypatch):
    async def refused(self):
        raise TransactionalIdAuthorizationFailed(f"{topics.commands}-1")

    monkeypatch.setattr(AIOKafkaProducer, "start", refused)
    with pytest.raises(UnreachableError, match=f"may not Write with the transactional id {topics.commands}-1; give"):
        await open_log().fence()


async def test_an_event_of_another_group_between_ours_is_noticed_and_reading_says_whose_it_is(open_log):
    ours, theirs = open_log(), open_log(transactional_id="theirs")
    await ours.fence()
    mark = (await ours.read(START)).end
    await ours.write([answer(5)])
    await theirs.fence()
    foreign = answer(6)._replace(headers=[(COMMAND_OFFSET, b"6"), (GROUP, b"other")])
    await theirs.write([foreign])

    with pytest.raises(KafkaError, match="somebody else wrote to"):
        await ours.write([answer(7)])
    with pytest.raises(ForeignAnswersError, match="offset 2 holds an answer of the group 'other'"):
        await ours.read(mark)
    assert await offsets(open_log(former=("other",))) == [5, 6, 7]
