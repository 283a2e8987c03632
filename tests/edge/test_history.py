"""Older events are read once for all who ask, and no more is held than may be."""

import asyncio

import pytest

from gateway.edge.history import BLOCK, GoneError, History
from gateway.edge.record import EventRow, Face, _Target


def event(offset, partition=0, account="desk-1"):
    face = Face("LeverageChanged", f"e{offset}", f"c{offset}", account, "BTCUSDT", _Target("binance_usdm"))
    return EventRow(face, b"{}", partition=partition, offset=offset, at=0.0)


class Topic:
    def __init__(self):
        self.reads = []

    async def load(self, partition, begin, end):
        self.reads.append((partition, begin, end))
        await asyncio.sleep(0)
        if begin < BLOCK:
            raise GoneError("gone")
        return [event(offset, partition) for offset in range(begin, end, 2)]


@pytest.fixture
def topic():
    return Topic()


def filled(topic, *, most, start=4 * BLOCK, end=6 * BLOCK):
    history = History([start], topic.load, most=most)
    for offset in range(start, end, 2):
        history.append(event(offset, account=f"desk-{offset % 4}"))
    return history


async def read_all(history, offset, accounts=None):
    found = []
    while offset < history.ends[0]:
        records, offset = await history.read(0, offset, accounts)
        found += [record.offset for record in records]
    return found


async def test_what_came_lately_is_not_read_again(topic):
    history = filled(topic, most=10 * BLOCK)
    assert await read_all(history, 5 * BLOCK - 10) == list(range(5 * BLOCK - 10, 6 * BLOCK, 2))
    assert topic.reads == []


async def test_five_hundred_who_come_back_at_once_cost_one_read_a_block(topic):
    history = filled(topic, most=10 * BLOCK)
    answers = await asyncio.gather(*(read_all(history, 2 * BLOCK + 7) for _ in range(500)))
    assert all(found == list(range(2 * BLOCK + 8, 6 * BLOCK, 2)) for found in answers)
    assert topic.reads == [(0, 2 * BLOCK, 3 * BLOCK), (0, 3 * BLOCK, 4 * BLOCK)]


async def test_no_more_is_held_than_may_be_and_what_went_is_read_again(topic):
    history = filled(topic, most=700)
    assert sum(len(block.records) for block in history._blocks.values()) <= 700
    assert await read_all(history, 4 * BLOCK) == list(range(4 * BLOCK, 6 * BLOCK, 2))
    assert topic.reads


async def test_a_reader_of_some_accounts_gets_theirs_in_order(topic):
    history = filled(topic, most=10 * BLOCK)
    both = await read_all(history, 5 * BLOCK, frozenset({"desk-0", "desk-2"}))
    assert both == list(range(5 * BLOCK, 6 * BLOCK, 2))
    assert await read_all(history, 5 * BLOCK, frozenset({"desk-2"})) == list(range(5 * BLOCK + 2, 6 * BLOCK, 4))
    assert await read_all(history, 5 * BLOCK, frozenset({"desk-9"})) == []


async def test_what_is_gone_is_told_to_all_and_asked_for_again(topic):
    history = filled(topic, most=10 * BLOCK)
    for _ in range(2):
        answers = await asyncio.gather(*(read_all(history, 3) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(answer, GoneError) for answer in answers)
    assert len(topic.reads) == 2


def test_offsets_before_the_logs_beginning_are_not_kept(topic):
    history = filled(topic, most=10 * BLOCK)
    history.begins = [2 * BLOCK]
    assert history.keeps([2 * BLOCK])
    assert not history.keeps([2 * BLOCK - 1])
