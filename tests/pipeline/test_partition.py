"""One owned partition from taking over to giving up, on virtual time with answer topics in memory."""

import asyncio
from random import Random

import pytest
from msgspec import structs

from gateway.calls.venue_caller import VenueCaller
from gateway.ownership.fingerprint import fingerprint
from gateway.ownership.lease import Afterlife, Lease
from gateway.ownership.ledger import Checkpoint, LogPosition
from gateway.ownership.ports import LoggedAnswer, NotOwnerError, Tail
from gateway.ownership.repeats import RepeatWindow
from gateway.ownership.takeover import take_over
from gateway.pipeline.partition import QUIET, Partition
from gateway.pipeline.parts import build_parts
from gateway.settings.tree import KafkaSettings, PipelineSettings, Settings, VenueSettings, VenuesSettings
from schemas import BinanceUsdm, decode_event
from tests.clocks import NOON
from tests.pipeline.paper import Bench, Quiet, Script, command, on_virtual_time, record


class Topics:
    """Both ports in one: what was done, in order, and what the answer topics hold."""

    topic, partition = "t", 3

    def __init__(self, checkpoint=None, *, end=0, answered=(), is_complete=True):
        self.checkpoint = checkpoint or Checkpoint(0, LogPosition(0, 0), clean=True)
        self.answered = list(answered)
        self.is_complete = is_complete
        self.done = []
        self.events = []
        self.held = True
        self.lose_at = self.fail_at = None
        self._end = end

    def grow(self, end):
        """More commands came."""
        self._end = end

    def _do(self, what):
        self.done.append(what)
        if what == self.lose_at:
            self.held = False
        if what == self.fail_at:
            raise TimeoutError

    async def committed(self):
        self._do("committed")
        return self.checkpoint

    async def renew(self, checkpoint):
        self._do("renew")
        self.checkpoint = checkpoint

    async def end(self):
        self._do("end")
        answered = max((offset + 1 for offset, _ in self.answered), default=0)
        return max(self._end, self.checkpoint.offset, answered)

    async def fence(self):
        self._do("fence")

    async def read(self, start, window=None, *, lowest=0):
        self._do("read")
        end = LogPosition(len(self.answered), 0)
        answered = {offset: _fingerprint(answer.command_id) for offset, answer in self.answered}
        return Tail(answered, [answer for _, answer in self.answered], end, self.is_complete)

    async def write(self, records):
        if not self.held:
            raise NotOwnerError
        self.events += [decode_event(one.value) for one in records if one.topic == "events"]
        return LogPosition(len(self.answered) + len(self.events), 0)


class Owner:
    """A partition with a venue that answers by script."""

    def __init__(
        self,
        world,
        topics,
        *script,
        quarantine=1.0,
        max_incomplete=4,
        window=RepeatWindow(100, 600.0),  # noqa: B008 - frozen
        guard=None,
        past=None,
        is_static=False,
        **settings,
    ):
        self.bench = Bench(world, Script(*script), capacity=None, **settings)
        self.topics, self.restored = topics, []
        self.lease = Lease(10.0)
        self.lease.renew(0.0)
        settings = Settings(
            kafka=KafkaSettings(check_partitioner=False, request_timeout_ms=1_000, session_timeout_ms=10_000),
            pipeline=PipelineSettings(max_incomplete=max_incomplete, max_lane_queue=2),
            venues=VenuesSettings(binance_usdm=VenueSettings(deadline=60.0)),
        )
        parts = build_parts(
            settings,
            venues={"binance_usdm": self.bench.venue},
            calls={"binance_usdm": self.bench.calls},
            accounts=self.bench,
            partition_of=lambda _: 0,
            partition_change=lambda: None,
            clock=self.bench.clock,
            observer=Quiet(self.bench.failures),
            guard=None if guard is None else guard(self.bench.clock),
            jitter=Random(0),
        )
        parts = structs.replace(
            parts,
            policy=structs.replace(
                parts.policy,
                topic="t",
                repeat_window=window,
                afterlife=Afterlife(
                    starts=quarantine / 2 if is_static else 0.0, arrives=quarantine, takes_effect=quarantine
                ),
            ),
        )
        self.past = past
        self.parts, self.partition = parts, None
        self.task = asyncio.get_running_loop().create_task(self.own())

    async def own(self):
        """As the group does it: take over, and work."""
        topics, observer = self.topics, self.parts.observer
        inheritance = await take_over(topics, topics, self.parts.policy.repeat_window, observer)
        self.partition = Partition(
            self.parts, inheritance, ownership=topics, log=topics, lease=self.lease, past=self.past
        )
        self.restored.append(self.partition.position)
        await self.partition.run()

    @property
    def told(self):
        return [(event.command_id, getattr(event, "reason", "changed")) for event in self.topics.events]

    @property
    def sent(self):
        return [(at, request.partition("leverage=")[2]) for at, request in self.bench.script.sent]

    def feed(self, *records):
        self.partition.feed(records)

    async def end(self):
        self.task.cancel()
        await asyncio.wait([self.task])


def _fingerprint(command_id):
    return fingerprint(b'{"command_id": "%s"}' % command_id.encode(), [])


def owning(scenario, topics, *script, **more):
    async def main(world):
        owner = Owner(world, topics, *script, **more)
        await asyncio.sleep(0.01)
        await scenario(owner)
        await owner.end()
        assert not owner.bench.failures

    on_virtual_time(main)


def symbol(number, name, **more):
    return record(command(number, target=BinanceUsdm(symbol=name), **more), number)


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


def test_nothing_is_sent_once_the_partition_is_lost_although_the_lease_runs():
    async def scenario(owner):
        owner.topics.held = False
        owner.feed(symbol(0, "X"))
        await asyncio.sleep(5.0)
        assert owner.sent == []

    owning(scenario, Topics())


def test_nothing_is_sent_when_the_lease_is_over_although_nothing_told_of_a_loss():
    async def scenario(owner):
        await asyncio.sleep(9.5)  # a call may take 1 s of the 10 s lease
        owner.feed(symbol(0, "X"))
        await asyncio.sleep(5.0)
        assert owner.sent == []
        owner.lease.renew(owner.bench.clock.monotonic())
        await asyncio.sleep(1.0)
        assert len(owner.sent) == 1

    owning(scenario, Topics())


def test_fetching_pauses_when_full_and_goes_on_when_half_of_it_is_answered():
    async def scenario(owner):
        owner.feed(*(symbol(number, f"S{number}") for number in range(4)))
        assert owner.partition.full
        assert not owner.partition.has_room
        await asyncio.sleep(1.5)
        assert not owner.partition.full
        assert owner.partition.has_room

    owning(scenario, Topics())


def test_a_lane_that_may_not_skip_has_a_bounded_queue_and_the_newest_is_refused():
    async def scenario(owner):
        owner.feed(*(symbol(number, "X") for number in range(4)))
        await asyncio.sleep(5.0)
        assert owner.told == [("c2", "rate_limited"), ("c3", "rate_limited"), ("c0", "changed"), ("c1", "changed")]

    owning(scenario, Topics(), latest_wins=False)


def test_draining_starts_nothing_answers_what_is_in_flight_and_leaves_clean():
    async def scenario(owner):
        owner.feed(symbol(0, "BUSY"))
        await asyncio.sleep(0.2)
        owner.feed(symbol(1, "BUSY"))
        point = await owner.partition.drain(5.0)
        assert owner.told == [("c0", "changed")]
        assert point._replace(called_at=None) == Checkpoint(1, LogPosition(0, 0), clean=True)
        assert len(owner.sent) == 1
        owner.feed(symbol(2, "LATE"))
        assert owner.partition.checkpoint().offset == 1, "what comes while draining is the next owner's"

    owning(scenario, Topics(), 0.5, (200, "0"))


def test_draining_repeats_no_call_however_soon_it_could_be_repeated():
    async def scenario(owner):
        owner.feed(symbol(0, "X"))
        await asyncio.sleep(0.2)
        point = await owner.partition.drain(5.0)
        assert len(owner.sent) == 1
        assert owner.told == []
        assert point.offset == 0

    owning(scenario, Topics(), 0.37, (400, "timestamp"))


def test_draining_has_a_bound_and_what_is_still_in_flight_makes_it_unclean():
    async def scenario(owner):
        owner.feed(symbol(0, "STUCK"))
        await asyncio.sleep(0.1)
        point = await owner.partition.drain(0.5)
        assert (point.offset, point.clean) == (0, False)

    owning(scenario, Topics(), 50.0, (200, "0"))


def test_leaving_during_the_quarantine_is_not_clean():
    async def scenario(owner):
        point = await owner.partition.drain(0.5)
        assert not point.clean

    owning(scenario, Topics(Checkpoint(1, LogPosition(0, 0), clean=False), end=1), quarantine=5.0)


def test_where_there_was_no_command_nobody_can_have_been_called_for_one_and_leaving_at_once_is_clean():
    async def scenario(owner):
        point = await owner.partition.drain(0.5)
        assert point.clean

    owning(scenario, Topics(Checkpoint(0, LogPosition(0, 0), clean=False), end=0), quarantine=5.0)


def test_leaving_without_having_seen_all_that_a_predecessor_may_have_sent_is_not_clean():
    async def scenario(owner):
        await asyncio.sleep(2.0)
        point = await owner.partition.drain(0.5)
        assert not point.clean

    owning(scenario, Topics(Checkpoint(0, LogPosition(0, 0), clean=False), end=3), quarantine=1.0)


def test_a_partition_that_turns_out_to_be_lost_ends_quietly_and_takes_nothing_more():
    async def scenario(owner):
        owner.feed(symbol(0, "X"))
        owner.topics.held = False
        owner.feed(record(command(1, leverage=999), 1))
        await asyncio.sleep(1.0)
        assert owner.task.done()
        assert owner.task.exception() is None
        owner.feed(symbol(2, "Y"))
        assert owner.partition.checkpoint() is None
        assert owner.topics.events == []

    owning(scenario, Topics())


def test_what_a_lane_waits_for_can_be_asked():
    async def scenario(owner):
        owner.lease.end()
        owner.feed(symbol(0, "X"), symbol(1, "Y"))
        (x, y) = owner.partition.waits()
        assert (x.lane, x.reason, x.commands, y.lane) == ("X", "lease", 1, "Y")
        owner.lease.renew(owner.bench.clock.monotonic())
        await asyncio.sleep(0.2)
        assert [(one.lane, one.reason) for one in owner.partition.waits()] == [("X", "a call"), ("Y", "permit")]

    owning(scenario, Topics(), 5.0, (200, "0"), 5.0, (200, "1"))


def test_idle_lanes_are_forgotten():
    async def scenario(owner):
        owner.feed(*(symbol(number, f"S{number}") for number in range(3)))
        assert owner.partition.lane_count == 3
        await asyncio.sleep(2.0)
        assert owner.partition.lane_count == 0

    owning(scenario, Topics())


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


class OtherTopics(Topics):
    """A commands topic whose records are not those that were answered."""

    async def read(self, start, window=None, *, lowest=0):
        tail = await super().read(start, window, lowest=lowest)
        answered = {offset: _fingerprint(name) for offset, name in enumerate(("c0", "c1", "another", "c3"))}
        return tail._replace(answered=answered)


def test_an_answer_is_believed_only_where_it_is_of_the_command_that_is_at_its_offset(monkeypatch):
    told = []
    monkeypatch.setattr(Quiet, "began_anew", lambda _, *what: told.append(what), raising=False)

    async def scenario(owner):
        owner.partition.feed(
            [record(command(offset, target=BinanceUsdm(symbol=f"S{offset}")), offset) for offset in range(5)]
        )
        await asyncio.sleep(5.0)
        assert {event.command_id for event in owner.topics.events} == {"c2", "c4"}

    owning(scenario, OtherTopics(Checkpoint(0, LogPosition(0, 0), clean=True), end=4))
    assert told == [("t", 0, "what is at offset 2 is not the command that was answered there")]


class ShortTopics(Topics):
    """A commands topic without a record."""

    async def end(self):
        return 0

    async def beginning(self):
        return 0


def test_of_a_topic_made_anew_and_of_answers_that_are_deleted_it_is_told_which_partition(monkeypatch):
    told = []
    for name in ("began_anew", "lost_answers"):
        monkeypatch.setattr(Quiet, name, lambda _, *what, name=name: told.append((name, *what)), raising=False)

    async def scenario(owner):
        assert owner.partition.state == "running"

    owning(scenario, ShortTopics(Checkpoint(5, LogPosition(0, 0), clean=True)))
    owning(scenario, Topics(Checkpoint(5, LogPosition(0, 0), clean=True), end=7, is_complete=False))
    assert told == [("began_anew", "t", 3, "offset 4 was answered, and its end is 0"), ("lost_answers", "t", 3, 5, 7)]


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


def test_where_answers_are_not_remembered_for_long_nothing_is_known_of_a_predecessors_calls(monkeypatch):
    assumed = []
    monkeypatch.setattr(VenueCaller, "assume_spent", lambda _, account, _until: assumed.append(account))

    async def scenario(owner):
        owner.feed(symbol(7, "X"))
        assert assumed == ["a"]

    owning(scenario, Topics(Checkpoint(7, LogPosition(1, 0), clean=True), end=7), window=RepeatWindow(100, QUIET - 1))
