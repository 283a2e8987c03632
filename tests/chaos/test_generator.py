"""What a chaos run is fed: the same for the same seed, on the partition that Kafka's own partitioner gives."""

from collections import Counter, defaultdict
from decimal import Decimal

from schemas import BinanceUsdm, SetLeverage
from tests.chaos.generator import Generator, Outgoing, Plan, partition_of
from tests.chaos.history import Record
from tests.chaos.story import command_of, lane_key

NOON = 1_795_262_400.0
MANY = 4_000


def made(seed: int, plan: Plan | None = None) -> list[Outgoing]:
    generator = Generator(plan or Plan(), seed)
    return [generator.next(NOON + number / 100) for number in range(MANY)]


def command(outgoing: Outgoing) -> SetLeverage | None:
    return command_of(
        Record(partition=0, offset=0, timestamp_ms=0, key=None, value=outgoing.value, headers=outgoing.headers)
    )


def test_the_same_seed_makes_the_same_bytes_and_another_makes_others():
    assert made(1) == made(1)
    assert made(1) != made(2)


def test_a_key_goes_to_the_partition_of_murmur2():
    # What the Java client's Utils.toPositive(Utils.murmur2(key)) % n gives for keys of Kafka's own test of murmur2.
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    for key, murmur2 in known.items():
        assert partition_of(key, 12) == (murmur2 & 0x7FFFFFFF) % 12


def test_commands_are_on_the_partition_of_their_key_and_misplaced_ones_are_not():
    kinds = Counter(outgoing.kind for outgoing in made(3))
    assert all(kinds[kind] > 0 for kind in ("command", "repeat", "misplaced", "garbage"))
    for outgoing in made(3):
        asked = command(outgoing)
        right = asked is not None and outgoing.key == asked.key.encode()
        right = right and outgoing.partition == partition_of(outgoing.key or b"", 4)
        assert right is (outgoing.kind in ("command", "repeat"))


def test_with_one_partition_a_misplaced_command_has_the_wrong_key():
    misplaced = [outgoing for outgoing in made(3, Plan(partitions=1, misplaced=0.2)) if outgoing.kind == "misplaced"]
    assert misplaced
    assert all((asked := command(outgoing)) and outgoing.key != asked.key.encode() for outgoing in misplaced)


def test_garbage_is_no_command_and_all_else_is():
    for outgoing in made(4):
        assert (command(outgoing) is None) is (outgoing.kind == "garbage")


def test_a_repeat_is_an_earlier_command_byte_for_byte():
    earlier: set[tuple[int, bytes | None]] = set()
    for outgoing in made(5):
        assert outgoing.kind != "repeat" or (outgoing.partition, outgoing.value) in earlier
        earlier.add((outgoing.partition, outgoing.value))


def test_there_are_hundreds_of_lanes_and_no_lane_is_asked_for_a_value_twice():
    values: dict[str, list[Decimal]] = defaultdict(list)
    for outgoing in made(6, Plan(values=5)):
        asked = command(outgoing)
        if asked is not None and outgoing.kind != "repeat":
            values[lane_key(asked)].append(asked.leverage)
    assert len(values) > 400
    assert max(map(len, values.values())) == 5
    for asked_values in values.values():
        assert len(set(asked_values)) == len(asked_values)


def test_every_value_is_one_that_the_venue_has():
    asked = [found for each in made(6, Plan(symbols=1, misplaced=0)) if (found := command(each))]
    assert max(each.leverage for each in asked if isinstance(each.target, BinanceUsdm)) == 125
    assert all(1 <= each.leverage <= 125 for each in asked)


def test_expiry_and_encodings_come_in_the_shares_that_were_planned():
    plan = Plan(expiring=0.5, msgpack=0.5)
    asked = [(outgoing, found) for outgoing in made(7, plan) if (found := command(outgoing)) is not None]
    assert 0.4 < sum(found.expires_at is not None for _, found in asked) / len(asked) < 0.6
    assert 0.4 < sum(b"application/msgpack" in dict(each.headers).values() for each, _ in asked) / len(asked) < 0.6
