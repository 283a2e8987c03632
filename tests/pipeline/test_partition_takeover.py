"""What a new owner of a partition takes for answered, sent and spent: after clean and unclean ends, and beside a twin."""

import asyncio

import pytest

from gateway.calls.venue_caller import VenueCaller
from gateway.ownership.ledger import Checkpoint, LogPosition
from gateway.ownership.ports import LoggedAnswer, NotOwnerError
from gateway.ownership.repeats import RepeatWindow
from gateway.pipeline.partition import QUIET
from tests.kit.bench import command, record
from tests.kit.clocks import NOON
from tests.pipeline.owner import Topics, owning, symbol


def test_taking_over_reads_asks_takes_the_id_asks_again_and_only_then_reads_the_answers():
    async def scenario(owner):
        assert owner.topics.done == ["committed", "renew", "fence", "renew", "read", "end"]
        assert owner.restored == [5]
        assert owner.partition.state == "running"
        assert not owner.topics.checkpoint.clean, "from now on a call may be in flight"

    owning(scenario, Topics(Checkpoint(5, LogPosition(2, 0), clean=True)))


@pytest.mark.parametrize("step", ["committed", "renew", "fence", "end", "read"])
def test_a_partition_revoked_while_it_is_taken_over_is_not_served(step):
    async def scenario(owner):
        assert owner.partition is None
        assert isinstance(owner.task.exception(), NotOwnerError)

    topics = Topics()
    topics.lose_at = step
    owning(scenario, topics)


def test_what_was_answered_before_is_not_answered_again():
    async def scenario(owner):
        owner.feed(*(symbol(number, f"S{number}") for number in range(3)))
        await asyncio.sleep(1.0)
        assert owner.told == [("c0", "changed"), ("c2", "changed")]

    answered = [(1, LoggedAnswer("binance_usdm:a", "c1", NOON))]
    owning(scenario, Topics(answered=answered))


def test_an_id_that_was_answered_before_is_skipped_and_its_offset_passed():
    async def scenario(owner):
        again = record(command(1), 3)
        owner.feed(again)
        await asyncio.sleep(1.0)
        assert owner.told == []
        assert owner.partition.checkpoint().offset == 4

    owning(
        scenario,
        Topics(
            Checkpoint(3, LogPosition(0, 0), clean=True), answered=[(1, LoggedAnswer("binance_usdm:a", "c1", NOON))]
        ),
    )


def test_after_an_unclean_end_what_may_be_in_flight_waits_and_what_came_later_does_not():
    async def scenario(owner):
        owner.feed(symbol(0, "OLD", leverage=5), symbol(1, "NEW", leverage=6))
        await asyncio.sleep(3.0)
        assert [value for _, value in owner.sent] == ["6", "5"]
        assert owner.sent[0][0] < 1.0 <= owner.sent[1][0]

    owning(scenario, Topics(Checkpoint(0, LogPosition(0, 0), clean=False), end=1), quarantine=1.0)


@pytest.mark.parametrize(
    ("clean", "called", "answered", "spent"),
    [
        (True, QUIET + 1, QUIET + 1, False),
        (True, QUIET + 1, QUIET - 1, True),
        (True, QUIET - 1, QUIET + 1, True),
        (True, None, QUIET + 1, True),
        (False, QUIET + 1, QUIET + 1, True),
    ],
)
def test_only_who_left_in_order_and_neither_called_nor_answered_for_a_while_has_spent_nothing(
    clean, called, answered, spent, monkeypatch
):
    assumed = []
    monkeypatch.setattr(VenueCaller, "assume_spent", lambda _, account, _until: assumed.append(account))

    async def scenario(owner):
        owner.feed(symbol(7, "X"))
        assert assumed == (["a"] if spent else [])

    answers = [(6, LoggedAnswer("k", "c", NOON - answered))]
    called_at = None if called is None else NOON - called
    owning(scenario, Topics(Checkpoint(7, LogPosition(1, 0), clean, called_at=called_at), answered=answers, end=7))


def test_a_call_that_is_to_be_made_again_is_told_to_the_next_owner_though_nobody_was_answered():
    async def scenario(owner):
        owner.feed(symbol(0, "X"))
        await asyncio.sleep(0.2)
        point = await owner.partition.drain(5.0)
        assert (point.clean, owner.told) == (True, [])
        assert NOON < point.called_at <= NOON + 2.0

    owning(scenario, Topics(), (503, "unavailable"), backoff_base=60.0, backoff_cap=60.0)


@pytest.mark.parametrize(("is_static", "looks"), [(True, 1), (False, 0)])
def test_what_comes_while_a_static_twin_may_still_call_may_have_been_sent_by_it(is_static, looks):
    async def scenario(owner):
        owner.feed(symbol(3, "X"), symbol(4, "X"))
        await asyncio.sleep(3.0)
        assert sum(request.startswith("GET") for _, request in owner.bench.script.sent) == looks
        assert owner.told[0] == ("c3", "changed" if looks else "superseded")

    found = [(200, "3")] if is_static else []
    owning(scenario, Topics(Checkpoint(3, LogPosition(0, 0), clean=False), end=3), *found, is_static=is_static)


UNCLEAN = Checkpoint(3, LogPosition(0, 0), clean=False)


def test_what_a_static_twin_may_have_read_may_have_been_sent_by_it_however_late_it_is_read_here():
    async def scenario(owner):
        owner.topics.grow(5)
        await asyncio.sleep(2.0)
        owner.feed(symbol(3, "X"), symbol(4, "X"))
        await asyncio.sleep(3.0)
        assert owner.told[0] == ("c3", "changed")

    owning(scenario, Topics(UNCLEAN, end=3), (200, "3"), is_static=True)


def test_what_comes_once_a_static_twin_starts_no_call_waits_for_nothing():
    async def scenario(owner):
        owner.feed(symbol(3, "X"))
        await asyncio.sleep(4.0)
        owner.feed(symbol(4, "Y"), symbol(5, "X"))
        await asyncio.sleep(0.1)
        assert owner.told == [("c4", "changed")]
        await asyncio.sleep(4.0)
        assert [told for told, _ in owner.told] == ["c4", "c3", "c5"]

    owning(scenario, Topics(UNCLEAN, end=4), (200, "4"), (200, "3"), quarantine=7.0, is_static=True)


def test_a_static_twin_is_reckoned_with_until_the_broker_says_what_it_can_have_read():
    async def scenario(owner):
        owner.topics.fail_at = "end"
        await asyncio.sleep(2.0)
        point = await owner.partition.drain(0.1)
        owner.topics.fail_at = None
        assert not point.clean

    owning(scenario, Topics(UNCLEAN, end=3), is_static=True)


def test_a_static_member_has_no_twin_where_nobody_ever_owned_the_partition():
    async def scenario(owner):
        owner.feed(symbol(0, "X"))
        await asyncio.sleep(0.1)
        assert owner.told == [("c0", "changed")]

    first = Checkpoint(0, LogPosition(0, 0), clean=False, is_first=True)
    owning(scenario, Topics(first), quarantine=30.0, is_static=True)


@pytest.mark.parametrize(
    ("is_first", "answered", "waits"),
    [
        (True, [], False),
        (True, [(0, LoggedAnswer("binance_usdm:a", "c0", NOON))], True),
        (False, [], True),
    ],
)
def test_a_first_owner_waits_for_nobody_although_commands_wait_for_it(is_first, answered, waits):
    async def scenario(owner):
        owner.feed(symbol(1, "X"))
        await asyncio.sleep(20.0)
        assert (owner.sent[0][0] >= 5.0) == waits

    first = Checkpoint(1, LogPosition(0, 0), clean=False, is_first=is_first)
    owning(scenario, Topics(first, end=2, answered=answered), quarantine=5.0)


def test_where_answers_are_not_remembered_for_long_nothing_is_known_of_a_predecessors_calls(monkeypatch):
    assumed = []
    monkeypatch.setattr(VenueCaller, "assume_spent", lambda _, account, _until: assumed.append(account))

    async def scenario(owner):
        owner.feed(symbol(7, "X"))
        assert assumed == ["a"]

    owning(scenario, Topics(Checkpoint(7, LogPosition(1, 0), clean=True), end=7), window=RepeatWindow(100, QUIET - 1))
