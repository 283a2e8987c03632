import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError, TransactionalIdAuthorizationFailed

import schemas
from gateway.kafka.answer_log import KafkaAnswerLog
from gateway.kafka.connection import UnreachableError
from gateway.kafka_clients import KafkaClients
from gateway.ownership.ledger import LogPosition
from gateway.ownership.ports import ForeignAnswersError, OutRecord
from gateway.ownership.repeats import RepeatWindow
from schemas import decode_event
from schemas.headers import COMMAND_OFFSET, GROUP
from tests.kit.answer_log_contract import START, answer

pytestmark = pytest.mark.kafka

EVENT = Path(schemas.__file__).parent / "generated" / "examples" / "leverage-rejected.expired.json"


async def offsets(log: KafkaAnswerLog, start: LogPosition = START, window: RepeatWindow | None = None) -> list[int]:
    return sorted((await log.read(start, window)).answered)


async def test_a_dead_letter_that_looks_like_an_event_names_no_command(open_log):
    log = open_log()
    await log.fence()
    event = EVENT.read_bytes()
    command_id = decode_event(event).command_id
    headers = [(COMMAND_OFFSET, b"5")]
    await log.write([OutRecord(topic, b"k", event, headers) for topic in ("events", "dead_letters")])
    await log.fence()  # before it the commit's markers may not be there yet
    recent = (await log.read(START, RepeatWindow(count=1000, age=3600))).recent
    assert [(answered.key, answered.command_id) for answered in recent] == [("k", command_id)]


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


async def test_events_deleted_beyond_the_mark_are_noticed_and_those_deleted_below_it_do_not_matter(
    open_log, topics, kafka_bootstrap
):
    log = open_log()
    await log.fence()
    first = await log.write([answer(1)])
    last = await log.write([answer(2)])
    events = TopicPartition(topics.events, 1)
    await delete(kafka_bootstrap, events, first.events)
    assert not (await log.read(START)).is_complete
    assert (await log.read(first)).is_complete
    await delete(kafka_bootstrap, events, -1)
    assert not (await log.read(first)).is_complete
    assert (await log.read(last)).is_complete, "all that is gone was before it"


class DeletingClients(KafkaClients):
    """Clients whose readers meet retention: the events are deleted as they begin to read."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__({"bootstrap_servers": bootstrap})
        self.bootstrap = bootstrap

    def reader(self, **more: Any) -> AIOKafkaConsumer:
        made = super().reader(**more)
        read = made.getmany

        async def getmany(*wanted: TopicPartition, **options: Any) -> Any:
            await delete(self.bootstrap, wanted[0], -1)
            return await read(*wanted, **options)

        made.getmany = getmany
        return made


async def delete(bootstrap: str, tp: TopicPartition, before: int) -> None:
    """Delete the records of a partition before an offset; -1: all."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.delete_records({tp: RecordsToDelete(before)})
    await admin.close()


async def test_events_deleted_while_they_are_read_are_noticed(open_log, kafka_bootstrap):
    log = open_log()
    await log.fence()
    await log.write([answer(1), answer(2)])
    await log.fence()
    assert not (await open_log(clients=DeletingClients(kafka_bootstrap)).read(START)).is_complete


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
