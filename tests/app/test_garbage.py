"""Whatever is on the commands topic gets exactly one dead letter or one event, and the next good command its answer."""

import asyncio
import random
from typing import Any

import msgspec
import pytest

from gateway.app import Gateway
from schemas import BinanceUsdm, LeverageChanged, LeverageRejected, encode
from schemas.headers import CONTENT_TYPE, ERROR_FIELDS, ERROR_PREFIX
from tests.app.processes import until
from tests.app.rig import Place, Record, Rig, event_of

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("gateway")]
MSGPACK = [(CONTENT_TYPE, b"application/msgpack")]
KEY = b"binance_usdm:desk-1"
GOOD: dict[str, Any] = {
    "type": "SetLeverage",
    "command_id": "g",
    "account": "desk-1",
    "leverage": "7",
    "target": {"venue": "binance_usdm", "symbol": "BTCUSDT"},
}


def json(**changes: Any) -> bytes:
    return msgspec.json.encode({name: value for name, value in (GOOD | changes).items() if value is not ...})


UNDECODABLE: dict[str, tuple[bytes | None, list[tuple[str, bytes]]]] = {
    "random bytes": (random.Random(7).randbytes(300), []),
    "no bytes": (b"", []),
    "null value": (None, []),
    "a JSON array": (b"[1, 2]", []),
    "half a message": (json()[:-9], []),
    "bytes after the message": (json() + b"{}", []),
    "not UTF-8": (json().replace(b"desk-1", b"desk-\xff"), []),
    "a number for the id": (json(command_id=1), []),
    "a text for the target": (json(target="BTCUSDT"), []),
    "an object for the leverage": (json(leverage={}), []),
    "no leverage": (json(leverage=...), []),
    "a leverage in words": (json(leverage="twenty"), []),
    "another type": (json(type="SetMargin"), []),
    "an unknown venue": (json(target={"venue": "ftx", "symbol": "BTCUSDT"}), []),
    "an account that is none": (json(account="desk:1"), []),
    "white space in a symbol": (json(target={"venue": "ztdx", "symbol": "BTC USDT"}), []),
    "an id too long": (json(command_id="x" * 65), []),
    "an issuer too long": (json(issuer="x" * 257), []),
    "a time of its own": (json(expires_at="tomorrow"), []),
    "a megabyte": (random.Random(8).randbytes(1_000_000), []),
    "nesting without end": (b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", []),
    "nested MessagePack": (b"\x91" * 200_000, MSGPACK),
    "MessagePack garbage": (b"\xc1\x93\x00", MSGPACK),
    "JSON called MessagePack": (json(), MSGPACK),
    "MessagePack called JSON": (msgspec.msgpack.encode(GOOD), []),
    "an unknown content-type": (json(), [(CONTENT_TYPE, b"application/avro")]),
    "a content-type that is not text": (json(), [(CONTENT_TYPE, b"\xff\xfe")]),
}
INVALID: dict[str, dict[str, Any]] = {
    "NaN": {"leverage": "NaN"},
    "a signalling NaN": {"leverage": "sNaN"},
    "Infinity": {"leverage": "Infinity"},
    "a number too large for any": {"leverage": "1E+999999"},
    "a number too small for any": {"leverage": "1E-999999"},
    "a thousand digits": {"leverage": "1" * 1000},
    "zero": {"leverage": "0"},
    "a negative": {"leverage": "-5"},
    "a broken number": {"leverage": "5.5"},
}


@pytest.mark.parametrize("name", UNDECODABLE)
async def test_what_cannot_be_decoded_is_one_dead_letter_with_its_own_bytes(rig: Rig, name: str):
    value, said = UNDECODABLE[name]
    headers = [("x-own", b"\x00\xff"), *said]
    place = await rig.put(value, key=KEY, partition=where(rig), headers=headers)
    await next_good_command(rig)

    [letter] = rig.records_of("dead_letters", place)
    assert (letter.value, letter.key, letter.partition) == (value, KEY, place.partition)
    assert [pair for pair in letter.headers if not ours(pair)] == headers
    assert_told(rig, letter, place, stage="intake", reason="undecodable", attempts=0)
    assert rig.records_of("events", place) == []


@pytest.mark.parametrize("name", INVALID)
async def test_a_leverage_that_is_no_sensible_number_is_one_invalid_event(rig: Rig, name: str):
    place = await rig.put(json(command_id=name, **INVALID[name]), key=KEY, partition=where(rig))
    await next_good_command(rig)
    assert "leverage" in rejected(rig, place, "invalid").message


async def test_a_leverage_that_json_cannot_hold_is_one_dead_letter(rig: Rig):
    value = json().replace(b'"7"', b"1e999999999999999999999")
    place = await rig.put(value, key=KEY, partition=where(rig))
    await next_good_command(rig)
    events, letters = rig.records_of("events", place), rig.records_of("dead_letters", place)
    assert len(events) + len(letters) == 1


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"binance_usdm:desk-2", b"ztdx:desk-1", b"x" * 100_000])
async def test_a_key_that_is_not_its_values_is_invalid(rig: Rig, key: bytes | None):
    place = await rig.put(json(command_id=f"key {key!r}"[:64]), key=key, partition=where(rig))
    await next_good_command(rig)
    assert "key" in rejected(rig, place, "invalid").message


async def test_a_key_on_another_partition_than_its_own_is_invalid_and_the_remedy_is_named(rig: Rig):
    belongs = where(rig)
    place = await rig.put(json(command_id="elsewhere"), key=KEY, partition=(belongs + 1) % rig.partitions)
    await next_good_command(rig, in_partition=place.partition)
    event = rejected(rig, place, "invalid")
    assert f"belongs to partition {belongs}, not {place.partition}" in event.message
    assert "partitioner=murmur2_random" in event.message


async def test_an_unknown_account_is_one_event_and_its_command_a_dead_letter(rig: Rig):
    command = rig.command(account="stranger")
    [place] = await rig.send(command)
    await rig.answers(command)
    await next_good_command(rig, in_partition=place.partition)
    event = rejected(rig, place, "unknown_account", dead_lettered=True)
    assert "accounts.stranger.binance_usdm" in event.message
    [letter] = rig.records_of("dead_letters", place)
    assert letter.value == encode(command)
    assert_told(rig, letter, place, stage="intake", reason="unknown_account", attempts=0)


async def test_no_key_and_no_value_is_one_dead_letter(rig: Rig):
    """aiokafka's producer sends no such record."""
    confluent: Any = pytest.importorskip("confluent_kafka", reason="the extra `embedded` is not installed")
    offsets: list[int] = []
    producer = confluent.Producer({"bootstrap.servers": rig.bootstrap})
    producer.produce(rig.topics.commands, partition=2, on_delivery=lambda _, sent: offsets.append(sent.offset()))
    await asyncio.to_thread(producer.flush, 10)
    place = Place(2, offsets[0])
    await next_good_command(rig, in_partition=2)
    [letter] = rig.records_of("dead_letters", place)
    assert letter.value is None
    assert not letter.key
    assert_told(rig, letter, place, stage="intake", reason="undecodable", attempts=0)


async def test_fields_nobody_knows_are_ignored_however_many(rig: Rig):
    place = await rig.put(json(command_id="big", note="x" * 900_000, extra=[[]]), key=KEY, partition=where(rig))
    await next_good_command(rig)
    [event] = rig.records_of("events", place)
    assert isinstance(event_of(event), LeverageChanged)


async def test_a_storm_of_garbage_is_answered_one_by_one(rig: Rig, gateway: Gateway):
    chance = random.Random(9)
    values = [value for value, said in UNDECODABLE.values() if value is not None and len(value) < 1000 and not said]
    places = await asyncio.gather(
        *(rig.put(chance.choice(values), key=KEY, partition=chance.randrange(rig.partitions)) for _ in range(300))
    )
    await rig.settled()
    assert [len(rig.records_of("dead_letters", place)) for place in places] == [1] * 300
    assert gateway.group.incomplete == dict.fromkeys(range(rig.partitions), 0)


def where(rig: Rig) -> int:
    return rig.partition_of(rig.command())


async def next_good_command(rig: Rig, *, in_partition: int | None = None) -> None:
    """Answered after what was put before it on the partition, so that what is not there now never comes."""
    if in_partition not in (None, where(rig)):
        await rig.settled()
        return
    command = rig.command(BinanceUsdm(symbol="ETHUSDT"), 5)
    [event] = await rig.ask(command)
    assert isinstance(event, LeverageChanged)
    await rig.settled()


def rejected(rig: Rig, place: Place, reason: str, *, dead_lettered: bool = False) -> LeverageRejected:
    [record] = rig.records_of("events", place)
    event = event_of(record)
    assert isinstance(event, LeverageRejected)
    assert (event.reason, event.attempts, event.dead_lettered) == (reason, 0, dead_lettered)
    assert len(rig.records_of("dead_letters", place)) == int(dead_lettered)
    assert record.partition == place.partition
    return event


def ours(header: tuple[str, bytes]) -> bool:
    return header[0].startswith(("gateway-", ERROR_PREFIX))


def assert_told(rig: Rig, letter: Record, place: Place, **expected: object) -> None:
    headers = {name.removeprefix(ERROR_PREFIX): value.decode() for name, value in letter.headers if ours((name, value))}
    assert set(headers) == {*ERROR_FIELDS, "gateway-command-partition", "gateway-command-offset"}
    told = {
        "topic": rig.topics.commands,
        "partition": place.partition,
        "offset": place.offset,
        "group": rig.topics.commands,
        **expected,
    }
    assert {name: headers[name] for name in told} == {name: str(value) for name, value in told.items()}
    assert headers["message"]
    assert headers["timestamp"].endswith("Z")
    assert headers["failed_at"].endswith("Z")


async def test_the_gateway_saw_it_all_and_called_for_none_of_it(rig: Rig, gateway: Gateway):
    assert gateway.health.ready()[0]
    await until(lambda: not any(gateway.group.incomplete.values()), "everything is answered")
    assert {entry.lane for entry in rig.calls()} == {"BTCUSDT", "ETHUSDT"}
    assert [entry.value for entry in rig.calls("BTCUSDT")] == ["7"]
