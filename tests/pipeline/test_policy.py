"""What the policy forbids: refused when it is read, before its call, and at once when something else holds."""

import asyncio
from decimal import Decimal

import pytest

from gateway.ownership.ledger import Checkpoint, LogPosition
from gateway.policy.board import Board
from gateway.policy.guard import FRESH_FOR, PolicyGuard
from schemas import LeverageChanged, Scope
from tests.kit.bench import Quiet, command, record
from tests.kit.clocks import NOON
from tests.kit.world import on_virtual_time
from tests.pipeline.owner import Owner, Topics, symbol
from tests.policy.desk import after, applied, freeze, put
from tests.policy.test_guard import changed

FROZEN = "freeze:everything"


class Desk:
    """What writes the policy; the guard is current until it is told otherwise."""

    def __init__(self):
        self.board = Board()
        self.guard = None

    def make(self, clock):
        self.guard = PolicyGuard(clock, Quiet([]), freeze_after=60.0)
        self.guard.confirmed(1e9)  # as if it were asked without end
        return self.guard

    def write(self, written):
        assert put(self.board, after(self.board, written)) is None
        if self.guard is not None:
            self.guard.rule(self.board.ruling)


def obeying(scenario, *script, topics=None, policy=(), **more):
    """A partition with a policy; the scenario gets its owner and desk."""

    async def main(world):
        desk = Desk()
        for written in policy:
            desk.write(written)
        owner = Owner(world, topics or Topics(), *script, guard=desk.make, **more)
        desk.guard.rule(desk.board.ruling)
        await asyncio.sleep(0.01)
        await scenario(owner, desk)
        await owner.end()
        assert not owner.bench.failures

    on_virtual_time(main)


def rules_of(owner):
    return [getattr(event, "policy_rules", ()) for event in owner.topics.events]


def test_what_is_forbidden_is_answered_at_once_and_costs_no_call():
    async def scenario(owner, desk):
        owner.feed(record(command(1, leverage=20), 0), record(command(2, leverage=5), 1))
        await asyncio.sleep(0.1)
        assert owner.told == [("c1", "policy"), ("c2", "changed")]
        assert owner.sent == [(pytest.approx(0.02, abs=0.02), "5")]
        version = desk.board.ruling.policy.book.version
        assert (owner.topics.events[0].policy_version, owner.topics.events[0].policy_rules) == (version, ("a.maximum",))

    obeying(scenario, policy=[applied("[rules.a]\nmaximum = 10\n")])


def test_a_freeze_answers_what_waits_at_once_and_what_is_at_the_venue_is_told():
    async def scenario(owner, desk):
        owner.feed(record(command(1), 0))
        await asyncio.sleep(0.1)  # at the venue
        owner.feed(record(command(2), 1), symbol(3, "ETHUSDT"))
        await asyncio.sleep(0.1)
        desk.write(freeze(scope=Scope(lane="BTC*")))
        await asyncio.sleep(0.1)
        assert owner.told == [("c2", "policy")]
        assert rules_of(owner) == [("freeze:lane=BTC*",)]
        await asyncio.sleep(10)
        assert owner.told == [("c2", "policy"), ("c1", "changed"), ("c3", "changed")]
        assert [leverage for _, leverage in owner.sent] == ["1", "3"]

    obeying(scenario, 3.0, (200, "1"), 3.0, (200, "3"), slots=1, call_timeout=5.0)


def test_after_a_thaw_work_goes_on():
    async def scenario(owner, desk):
        desk.write(freeze())
        owner.feed(record(command(1), 0))
        await asyncio.sleep(0.1)
        desk.write(freeze("open"))
        owner.feed(record(command(2), 1))
        await asyncio.sleep(0.1)
        assert owner.told == [("c1", "policy"), ("c2", "changed")]

    obeying(scenario)


def test_what_waits_to_be_tried_again_is_told_and_not_sent_again():
    async def scenario(owner, desk):
        owner.feed(record(command(1), 0))
        await asyncio.sleep(0.1)
        desk.write(freeze())
        await asyncio.sleep(20)
        assert owner.told == [("c1", "policy")]
        assert owner.topics.events[0].attempts == 1
        assert len(owner.sent) == 1

    obeying(scenario, (503, "back off"), backoff_base=5.0, backoff_cap=10.0)


def test_what_may_have_been_applied_is_looked_at_and_not_called_forbidden():
    async def scenario(owner, desk):
        desk.write(freeze())
        owner.feed(record(command(1), 0))
        await asyncio.sleep(20)
        assert owner.told == [("c1", "changed")]
        assert [request.split()[0] for _, request in owner.bench.script.sent] == ["GET"]

    inherited = Topics(Checkpoint(0, LogPosition(0, 0), clean=False), end=1)
    obeying(scenario, (200, "1"), topics=inherited)


def test_no_call_begins_while_the_policy_is_not_known_to_be_current():
    async def scenario(owner, desk):
        desk.guard._as_of = owner.bench.clock.monotonic() - FRESH_FOR - 0.01  # it slept
        owner.feed(record(command(1), 0))
        await asyncio.sleep(5)
        assert owner.sent == []
        desk.guard.confirmed(owner.bench.clock.monotonic())
        await asyncio.sleep(0.3)
        assert owner.told == [("c1", "changed")]

    obeying(scenario)


def test_a_freeze_that_comes_while_a_call_connects_stops_it():
    async def scenario(owner, desk):
        real = owner.bench.caller.send

        async def slowly(*arguments, may_send, **more):
            desk.write(freeze())
            assert not may_send()
            return await real(*arguments, may_send=may_send, **more)

        owner.bench.caller.send = slowly
        owner.feed(record(command(1), 0))
        await asyncio.sleep(5)
        assert owner.told == [("c1", "policy")]
        assert owner.sent == []

    obeying(scenario)


def test_what_the_lane_has_is_read_at_the_venue_where_the_topics_do_not_tell():
    async def scenario(owner, desk):
        owner.feed(record(command(1, leverage=9), 0))
        await asyncio.sleep(1)
        owner.feed(record(command(2, leverage=6), 1))
        await asyncio.sleep(1)
        assert owner.told == [("c1", "policy"), ("c2", "changed")]
        assert [request.split()[0] for _, request in owner.bench.script.sent] == ["GET", "POST"]

    obeying(scenario, (200, "7"), policy=[freeze("lower_only")])


def test_where_the_venue_does_not_tell_either_it_is_refused():
    async def scenario(owner, desk):
        owner.feed(record(command(1, leverage=9), 0))
        await asyncio.sleep(30)
        assert owner.told == [("c1", "policy")]
        assert rules_of(owner) == [("lane-value",)]

    obeying(scenario, policy=[freeze("lower_only")], reads_back=False)


def test_the_past_is_learned_before_a_call_begins_and_asked_for_again_where_kafka_fails():
    asked = []

    async def past(since, told):
        asked.append(since)
        if len(asked) == 1:
            raise TimeoutError
        await asyncio.sleep(0.5)
        event = changed(-30, 7)
        assert isinstance(event, LeverageChanged)
        told(
            LeverageChanged(**{field: getattr(event, field) for field in event.__struct_fields__} | {"account": "a"}),
            True,
        )

    async def scenario(owner, desk):
        owner.feed(record(command(1, leverage=9), 0), symbol(2, "ETHUSDT", leverage=1))
        await asyncio.sleep(5)
        assert len(asked) == 2
        assert asked[0] == pytest.approx(NOON, abs=1)
        assert owner.told == [("c1", "policy"), ("c2", "changed")]

    obeying(scenario, (200, "1"), policy=[freeze("lower_only")], past=past)


def test_what_was_changed_is_what_the_next_is_judged_by():
    async def scenario(owner, desk):
        for number, leverage in enumerate([5, 7, 20]):
            owner.feed(record(command(number, leverage=leverage), number))
            await asyncio.sleep(1)
        assert owner.told == [("c0", "changed"), ("c1", "changed"), ("c2", "policy")]
        assert owner.topics.events[1].leverage == Decimal(7)

    obeying(scenario, (200, "3"), policy=[applied("[rules.a]\nstep_up = 3\n")])


def test_without_a_policy_everything_is_as_before():
    async def scenario(owner, desk):
        owner.feed(record(command(1), 0))
        await asyncio.sleep(0.1)
        assert owner.told == [("c1", "changed")]
        assert rules_of(owner)[0] is not None

    obeying(scenario)
