"""Reading partitions up to given ends: nothing of what is beyond them, and not for ever where nothing comes."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from gateway.kafka_clients import read_up_to
from tests.kit.clocks import FakeClock

LEFT, RIGHT = TopicPartition("events", 0), TopicPartition("events", 1)


class Consumer:
    """Hands out two records of each partition a call, up to where they stall, and takes a second for each call."""

    def __init__(self, clock: FakeClock, stalls_at: Mapping[TopicPartition, int]) -> None:
        self.clock = clock
        self.stalls_at = stalls_at
        self.positions = dict.fromkeys(stalls_at, 0)

    async def position(self, tp: TopicPartition) -> int:
        return self.positions[tp]

    async def getmany(self, *wanted: TopicPartition, **_: Any) -> dict[TopicPartition, list[Any]]:
        self.clock.advance(1.0)
        begins = {tp: self.positions[tp] for tp in wanted}
        self.positions |= {tp: min(begin + 2, self.stalls_at[tp]) for tp, begin in begins.items()}
        return {
            tp: [SimpleNamespace(offset=offset) for offset in range(begin, self.positions[tp])]
            for tp, begin in begins.items()
        }


async def read(stalls_at: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> list[int]:
    clock = FakeClock()
    consumer = cast("AIOKafkaConsumer", Consumer(clock, stalls_at))
    reading = read_up_to(consumer, ends, patience=5.0, max_records=2, monotonic=clock.monotonic)
    return [record.offset async for records in reading for record in records]


async def test_nothing_is_handed_out_from_the_end_on():
    assert await read({LEFT: 100}, {LEFT: 3}) == [0, 1, 2]


async def test_of_several_partitions_reading_ends_with_the_first_that_is_at_its_end():
    assert await read({LEFT: 100, RIGHT: 100}, {LEFT: 2, RIGHT: 50}) == [0, 1, 0, 1]


async def test_where_nothing_lies_before_an_end_nothing_is_asked_for():
    assert await read({LEFT: 100, RIGHT: 100}, {LEFT: 0, RIGHT: 50}) == []


async def test_a_broker_that_hands_nothing_more_out_is_not_waited_for_for_ever():
    with pytest.raises(TimeoutError, match="events at offset 4 of 9"):
        await read({LEFT: 4}, {LEFT: 9})
