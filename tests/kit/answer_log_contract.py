"""What holds of every `AnswerLog`: each rule is given a way to open the partition's log once more, and runs by itself.

What was written is read after a fence, as a takeover does it: before it the last transaction may not show yet.
"""

from collections.abc import Awaitable, Callable

import pytest
from aiokafka.errors import KafkaError

from gateway.ownership.ledger import LogPosition
from gateway.ownership.ports import AnswerLog, AnswerTopic, OutRecord
from gateway.ownership.repeats import RepeatWindow
from schemas.headers import COMMAND_OFFSET

START = LogPosition(0, 0)
Rule = Callable[[Callable[[], AnswerLog]], Awaitable[None]]


def answer(offset: int, topic: AnswerTopic = "events") -> OutRecord:
    """As the gateway writes it, as far as a log looks into it."""
    return OutRecord(topic, b"k", b'{"command_id": "c%d"}' % offset, [(COMMAND_OFFSET, b"%d" % offset)])


async def what_was_committed_is_read_back_to_the_end(open_log: Callable[[], AnswerLog]) -> None:
    log = open_log()
    await log.fence()
    first = await log.write([answer(5), answer(5, "state"), answer(6)])
    second = await log.write([answer(7), answer(8, "dead_letters")])
    await log.fence()
    tail = await log.read(START)
    assert first == LogPosition(3, 0)  # the commit marker takes an offset too
    assert second == tail.end == LogPosition(5, 2)
    assert set(tail.answered) == {5, 6, 7, 8}
    assert tail.is_complete
    assert not (await log.read(second)).answered


async def reading_where_nothing_is_ends_at_once(open_log: Callable[[], AnswerLog]) -> None:
    log = open_log()
    await log.fence()
    tail = await log.read(START, RepeatWindow(100, 100))
    assert not tail.answered
    assert not tail.recent
    assert tail.end == START


async def who_was_fenced_writes_nothing_any_more(open_log: Callable[[], AnswerLog]) -> None:
    old, new = open_log(), open_log()
    await old.fence()
    await old.write([answer(1)])
    await new.fence()
    with pytest.raises(KafkaError):
        await old.write([answer(2)])
    assert set((await new.read(START)).answered) == {1}


async def who_has_not_taken_the_id_writes_nothing(open_log: Callable[[], AnswerLog]) -> None:
    log = open_log()
    with pytest.raises(KafkaError):
        await log.write([answer(1)])
    await log.fence()
    assert not (await log.read(START)).answered


async def the_repeat_window_reaches_back_before_the_mark(open_log: Callable[[], AnswerLog]) -> None:
    log, mark = open_log(), START
    await log.fence()
    for offset in range(6):
        mark = await log.write([answer(offset)])
    await log.fence()

    async def recent(window: RepeatWindow | None = None) -> list[str]:
        tail = await log.read(mark, window)
        assert not tail.answered
        return [answered.command_id for answered in tail.recent]

    assert await recent() == []
    assert await recent(RepeatWindow(count=1000, age=3600)) == ["c0", "c1", "c2", "c3", "c4", "c5"]
    assert await recent(RepeatWindow(count=2, age=3600)) == ["c4", "c5"]
    assert await recent(RepeatWindow(count=1000, age=0)) == []


async def of_what_is_answered_only_what_is_asked_for_is_kept(open_log: Callable[[], AnswerLog]) -> None:
    log = open_log()
    await log.fence()
    await log.write([answer(offset) for offset in range(50)] + [answer(offset, "dead_letters") for offset in range(50)])
    await log.fence()
    tail = await log.read(START, RepeatWindow(count=3, age=3600), lowest=48)
    assert set(tail.answered) == {48, 49}
    assert [answered.command_id for answered in tail.recent] == ["c47", "c48", "c49"]


RULES: tuple[Rule, ...] = (
    what_was_committed_is_read_back_to_the_end,
    reading_where_nothing_is_ends_at_once,
    who_was_fenced_writes_nothing_any_more,
    who_has_not_taken_the_id_writes_nothing,
    the_repeat_window_reaches_back_before_the_mark,
    of_what_is_answered_only_what_is_asked_for_is_kept,
)
