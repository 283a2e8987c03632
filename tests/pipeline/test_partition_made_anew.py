"""Topics that are not what they were: made anew, or with events deleted."""

import asyncio

import pytest

from gateway.ownership.ledger import Checkpoint, LogPosition
from gateway.ownership.ports import LoggedAnswer
from schemas import BinanceUsdm
from tests.kit.bench import Quiet, command, record
from tests.kit.clocks import NOON
from tests.pipeline.owner import Topics, owning, symbol

ANEW = Checkpoint(0, LogPosition(2, 0), clean=False, is_anew=True)


@pytest.mark.parametrize(
    ("checkpoint", "answered"),
    [
        (Checkpoint(7, LogPosition(2, 0), clean=True), []),
        (None, [(offset, LoggedAnswer("binance_usdm:a", f"old{offset}", NOON)) for offset in (0, 1)]),
    ],
)
def test_a_topic_that_ends_before_what_was_committed_or_answered_is_another_and_begun_at_its_beginning(
    checkpoint, answered
):
    async def scenario(owner):
        assert owner.restored == [0]
        owner.feed(record(command(5), 0))
        await asyncio.sleep(5.0)
        assert owner.told == [("c5", "changed")]

    owning(scenario, ShortTopics(checkpoint, answered=answered))


def test_where_events_are_deleted_that_may_answer_a_command_it_is_not_sent_and_newer_ones_wait_for_what_is_in_flight():
    async def scenario(owner):
        owner.feed(symbol(0, "X", leverage=5), symbol(1, "Y", leverage=6), symbol(2, "X", leverage=9))
        await asyncio.sleep(5.0)
        assert owner.told == [("c0", "outcome_unknown"), ("c2", "changed")]
        assert [value for _, value in owner.sent] == ["9"]
        assert owner.sent[0][0] >= 1.0
        assert owner.partition.checkpoint().offset == 3

    answered = [(1, LoggedAnswer("binance_usdm:a", "c1", NOON))]
    checkpoint = Checkpoint(0, LogPosition(0, 0), clean=False)
    owning(scenario, Topics(checkpoint, end=2, answered=answered, is_complete=False), quarantine=1.0)


def test_where_events_are_deleted_the_next_owner_knows_it_too_until_all_that_they_may_answer_has_an_answer():
    async def scenario(owner):
        owner.feed(symbol(0, "X", leverage=5))
        await asyncio.sleep(1.0)
        owner.feed(symbol(1, "Y", leverage=6), symbol(2, "X", leverage=9))
        assert owner.told == [("c0", "outcome_unknown")]
        assert owner.partition.checkpoint().mark == start
        await asyncio.sleep(5.0)
        assert owner.partition.checkpoint().mark > start

    start = LogPosition(0, 0)
    owning(scenario, Topics(Checkpoint(0, start, clean=False), end=2, is_complete=False), quarantine=1.0)


def test_an_answer_is_believed_only_where_it_is_of_the_command_that_is_at_its_offset(monkeypatch):
    told = []
    monkeypatch.setattr(Quiet, "began_anew", lambda _, *what: told.append(what), raising=False)

    async def scenario(owner):
        owner.partition.feed(
            [record(command(offset, target=BinanceUsdm(symbol=f"S{offset}")), offset) for offset in range(5)]
        )
        await asyncio.sleep(5.0)
        assert {event.command_id for event in owner.topics.events} == {"c2", "c4"}

    names = ("c0", "c1", "another", "c3")
    answered = [(offset, LoggedAnswer("binance_usdm:a", name, NOON - 1e6)) for offset, name in enumerate(names)]
    owning(scenario, Topics(Checkpoint(0, LogPosition(0, 0), clean=True), answered=answered))
    assert told == [("t", 0, "what is at offset 2 is not the command that was answered there")]


class ShortTopics(Topics):
    """A commands topic without a record."""

    async def end(self):
        return 0

    async def beginning(self):
        return 0


@pytest.mark.parametrize("checkpoint", [Checkpoint(7, LogPosition(2, 0), clean=True), ANEW])
def test_what_comes_while_calls_of_a_former_topic_may_take_effect_waits_for_them_on_every_lane(checkpoint):
    async def scenario(owner):
        assert owner.partition.checkpoint().metadata.endswith("anew")
        owner.feed(symbol(0, "X", leverage=5), symbol(1, "Y", leverage=6))
        await asyncio.sleep(5.0)
        assert [value for _, value in owner.sent if value] == ["5", "6"]
        assert min(at for at, _ in owner.sent) >= 1.0
        assert owner.partition.checkpoint().metadata.endswith("open")

    owning(scenario, ShortTopics(checkpoint), quarantine=1.0)


def test_of_a_topic_made_anew_and_of_answers_that_are_deleted_it_is_told_which_partition(monkeypatch):
    told = []
    for name in ("began_anew", "lost_answers"):
        monkeypatch.setattr(Quiet, name, lambda _, *what, name=name: told.append((name, *what)), raising=False)

    async def scenario(owner):
        assert owner.partition.state == "running"

    owning(scenario, ShortTopics(Checkpoint(5, LogPosition(0, 0), clean=True)))
    owning(scenario, Topics(Checkpoint(5, LogPosition(0, 0), clean=True), end=7, is_complete=False))
    assert told == [("began_anew", "t", 3, "offset 4 was answered, and its end is 0"), ("lost_answers", "t", 3, 5, 7)]
