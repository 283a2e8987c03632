"""Batches that no client library makes: each record has its one answer, and what is behind them theirs."""

import gzip
import random
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest

from gateway.app import Gateway
from gateway.kafka.inflation import MOST_BYTES
from schemas import BinanceUsdm, LeverageChanged, encode
from schemas.headers import ERROR_PREFIX
from tests.app.rig import Place, Rig, event_of
from tests.kafka.batch_bytes import PACKERS, batch, record

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("gateway")]


async def produce(rig: Rig, partition: int, *batches: bytes) -> list[int]:
    """Hand batches to the broker one by one; the base offset of each."""
    client: Any = rig.producer.client
    await rig.producer.partitions_for(rig.topics.commands)
    offsets: list[int] = []
    for data in batches:
        leader = client.cluster.leader_for_partition(TopicPartition(rig.topics.commands, partition))
        request = ProduceRequest(None, -1, 10_000, [(rig.topics.commands, [(partition, data)])])
        response = await client.send(leader, request)
        ((_, ((_, error_code, offset, *_),)),) = response.topics
        if error_code:
            raise for_code(error_code)
        offsets.append(offset)
    return offsets


def good(rig: Rig, index: int = 0, headers: Any = (), **fields: Any) -> tuple[Any, bytes]:
    command = rig.command(BinanceUsdm(symbol="BTCUSDT"), 5, **fields)
    return command, record(index, command.key.encode(), encode(command), headers)


async def test_a_command_whose_header_name_is_not_utf8_gets_its_answer_and_so_does_everything_around_it(rig: Rig):
    one, first = good(rig, account="desk-1")
    two, second = good(rig, 1, [(b"\xff\xef", b"x")])
    three, third = good(rig, 2)
    await produce(rig, rig.partition_of(one), batch(first, second, third, first=1_795_262_400_000))
    other = [rig.command(BinanceUsdm(symbol=f"S{number}USDT"), 5, account="desk-2") for number in range(20)]
    await rig.send(*other)
    assert {event.command_id for event in await rig.answers(one, two, three)} == {
        command.command_id for command in (one, two, three)
    }
    await rig.answers(*other)
    await rig.settled()
    for command in (one, two, three, *other):
        assert len(rig.events(command)) == 1


async def test_a_batch_that_unpacks_without_end_is_one_bounded_dead_letter(rig: Rig):
    command, _ = good(rig)
    partition = rig.partition_of(command)
    bomb = record(0, b"k", b"x" * (MOST_BYTES + 1))
    [offset] = await produce(rig, partition, batch(bomb, codec=1, pack=gzip.compress))
    [event] = await rig.ask(command)
    assert isinstance(event, LeverageChanged)
    await rig.settled()
    [letter] = rig.records_of("dead_letters", Place(partition, offset))
    said = dict(letter.headers)[ERROR_PREFIX + "message"].decode()
    assert "unpacks to more than" in said
    assert "SHA-256" in said
    assert len(letter.value or b"") <= 1024


async def test_what_is_larger_unpacked_than_any_topic_takes_is_told_by_its_first_kilobyte_size_and_hash(rig: Rig):
    command, _ = good(rig)
    partition = rig.partition_of(command)
    [offset] = await produce(rig, partition, batch(record(0, b"k", b"x" * 3_000_000), codec=1, pack=gzip.compress))
    await rig.ask(command)
    await rig.settled()
    [letter] = rig.records_of("dead_letters", Place(partition, offset))
    headers = dict(letter.headers)
    assert letter.value == b"x" * 1024
    assert headers[ERROR_PREFIX + "value_size"] == b"3000000"
    assert len(headers[ERROR_PREFIX + "value_sha256"]) == 64


@pytest.mark.parametrize("codec", PACKERS)
async def test_hundreds_of_batches_of_any_shape_are_answered_one_by_one(rig: Rig, gateway: Gateway, codec: int):
    chance = random.Random(codec)
    command, _ = good(rig)
    partition = rig.partition_of(command)
    batches, counts = [], []
    for _ in range(60):
        records = [_hostile(chance, index) for index in range(chance.randint(1, 3))]
        batches.append(batch(*records, codec=codec, pack=PACKERS[codec], first=chance.choice([-1, 0, 10**12])))
        counts.append(len(records))
    offsets = await produce(rig, partition, *batches)
    [event] = await rig.ask(command)
    assert isinstance(event, LeverageChanged)
    await rig.settled()
    for base, count in zip(offsets, counts, strict=True):
        for offset in range(base, base + count):
            place = Place(partition, offset)
            assert len(rig.records_of("dead_letters", place)) + len(rig.records_of("events", place)) == 1
    assert gateway.group.incomplete[partition] == 0


def _hostile(chance: random.Random, index: int) -> bytes:
    text = chance.choice([None, b"", b"\xff\xfe", b"k" * 300, b"x" * 20_000, b"{}", b'{"type":"SetLeverage"}'])
    name = chance.choice([b"", b"\xc3\x28", b"h" * 200, b"traceparent", b"content-type"])
    headers = [(name, chance.choice([None, b"", b"\xff" * 50]))] * chance.choice([0, 1, 30])
    return record(index, chance.choice([None, b"", b"k", b"k" * 10_000]), text, headers)


async def test_a_valid_traceparent_comes_back_and_an_invalid_one_of_any_length_does_not(rig: Rig):
    valid = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for sent, back in ((valid, valid), (b"\xff" * 400_000, None), (b"a" * 900_000, None)):
        command = rig.command(BinanceUsdm(symbol="ETHUSDT"), 5)
        [place] = await rig.send(command, headers=[("traceparent", sent)])
        await rig.answers(command)
        [event] = rig.records_of("events", place)
        assert dict(event.headers).get("traceparent") == back
        assert event_of(event).command_id == command.command_id
