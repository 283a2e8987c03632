"""The client against a real broker: where commands go, which event answers, what a follower sees."""

import asyncio
from contextlib import aclosing
from datetime import UTC, timedelta
from decimal import Decimal

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError
from aiokafka.partitioner import murmur2

from gateway.client import MissingTopicError, Place, UnansweredError, UnconfirmedError, connect
from schemas import BinanceUsdm, LeverageChanged, Timestamp, Ztdx, decode_command, encode
from schemas.events import fields_of_answer
from schemas.topics import Topics

pytestmark = pytest.mark.kafka
TARGET = BinanceUsdm(symbol="BTCUSDT")


@pytest.fixture
async def client(kafka_bootstrap, topics):
    async with connect(f"kafka://{kafka_bootstrap}", topics=topics) as client:
        yield client


def answer(command):
    about = fields_of_answer(command, event_id="e", attempts=1, occurred_at=Timestamp.now(UTC))
    leverage = command.leverage
    return LeverageChanged(**about, leverage=leverage, requested_leverage=leverage, certainty="confirmed")


async def publish_event(bootstrap, topics, sent, *, value=None, abort=False):
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"test-{sent.command.command_id}-{abort}")
    await producer.start()
    await producer.begin_transaction()
    value = encode(answer(sent.command)) if value is None else value
    await producer.send_and_wait(topics.events, value, key=sent.command.key.encode(), partition=sent.place.partition)
    await (producer.abort_transaction() if abort else producer.commit_transaction())
    await producer.stop()


async def test_a_command_is_on_its_keys_murmur2_partition_and_can_be_read_back(client, kafka_bootstrap, topics):
    sent = await client.submit(TARGET, 20, account="desk-1", expires_in=30, issuer="me", command_id="c1")
    assert sent.place.partition == (murmur2(b"binance_usdm:desk-1") & 0x7FFFFFFF) % 4
    consumer = AIOKafkaConsumer(topics.commands, bootstrap_servers=kafka_bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    record = await consumer.getone()
    await consumer.stop()
    assert Place(record.partition, record.offset) == sent.place
    assert record.key == b"binance_usdm:desk-1"
    assert record.headers == (("content-type", b"application/json"),)
    command = decode_command(record.value or b"")
    assert command == sent.command
    assert (command.command_id, command.leverage, command.issuer) == ("c1", Decimal(20), "me")
    assert command.issued_at is not None
    assert command.expires_at == command.issued_at + timedelta(seconds=30)


async def test_an_answer_is_found_though_it_came_before_it_is_waited_for_and_among_others(
    client, kafka_bootstrap, topics
):
    sent = await client.submit(TARGET, "20", account="desk-1", wants_answer=True)
    other = await client.submit(Ztdx(symbol="X"), "20", account="desk-1")
    await publish_event(kafka_bootstrap, topics, sent, value=b"no event")
    await publish_event(kafka_bootstrap, topics, other)
    await publish_event(kafka_bootstrap, topics, sent)
    event = await client.answer(sent, timeout=20)
    assert (event.command_id, event.target) == (sent.command.command_id, TARGET)


async def test_what_was_aborted_is_no_answer(client, kafka_bootstrap, topics):
    sent = await client.submit(TARGET, "20", account="desk-1", wants_answer=True, command_id="c1")
    await publish_event(kafka_bootstrap, topics, sent, abort=True)
    with pytest.raises(UnansweredError, match=rf"no answer to c1 \({sent.place}\) within 1 s"):
        await client.answer(sent, timeout=1)


async def test_events_follow_from_the_end_or_from_the_beginning(client, kafka_bootstrap, topics):
    first = await client.submit(TARGET, "20", account="desk-1")
    await publish_event(kafka_bootstrap, topics, first)
    async with aclosing(client.events(from_beginning=True)) as all_events:
        assert (await anext(all_events)).command_id == first.command.command_id
    async with aclosing(client.events()) as new_events:
        next_event = asyncio.ensure_future(anext(new_events))
        second = await client.submit(TARGET, "21", account="desk-1")
        done = None
        while done is None:
            await publish_event(kafka_bootstrap, topics, second)
            done = next(iter((await asyncio.wait([next_event], timeout=1))[0]), None)
        assert (await next_event).command_id == second.command.command_id


@pytest.mark.parametrize(("account", "leverage"), [("desk 1", "20"), ("", "20"), ("desk-1", "x")])
async def test_what_is_no_command_is_not_sent(client, account, leverage):
    with pytest.raises((ValueError, ArithmeticError)):
        await client.submit(TARGET, leverage, account=account)


async def test_missing_topics_are_told_and_not_made(kafka_bootstrap, topics):
    nowhere = Topics(commands="nowhere-commands", events="nowhere-events", state=topics.state)
    for _ in range(2):
        with pytest.raises(MissingTopicError, match="no topic nowhere-commands and no topic nowhere-events"):
            async with connect(f"kafka://{kafka_bootstrap}", topics=nowhere):
                pass


async def test_no_broker_is_an_error_soon(unused_tcp_port):
    with pytest.raises(KafkaConnectionError):
        async with connect(f"kafka://127.0.0.1:{unused_tcp_port}"):
            pass


async def test_a_command_that_is_not_confirmed_in_time_is_told(client):
    with pytest.raises(UnconfirmedError, match="did not confirm c-1 within 0 s; it may have it") as unconfirmed:
        await client.submit(TARGET, 5, account="desk-1", command_id="c-1", timeout=0.0)
    assert unconfirmed.value.command.command_id == "c-1"
    with pytest.raises(UnconfirmedError):
        await client.set_leverage(TARGET, 5, account="desk-1", timeout=0.0)
