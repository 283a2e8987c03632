"""What the group's word is worth: commits by the generation that owns, in order, and nothing after a refusal."""

import asyncio
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, RequestTimedOutError
from aiokafka.structs import OffsetAndMetadata

from gateway.kafka.assignment import PartitionOwnership
from gateway.kafka.commands_topic import SEEN_FOR, TopicMadeAnewError
from gateway.kafka.membership import Membership
from gateway.ownership.lease import Lease
from gateway.ownership.ledger import Checkpoint, LogPosition
from gateway.ownership.ports import NotOwnerError
from tests.kit.clocks import FakeClock
from tests.kit.topic_ids import TopicIds, topic_of

TP = TopicPartition("commands", 0)
OPEN = {TP: Checkpoint(5, LogPosition(3, 1), clean=False)}
CLEAN = {TP: Checkpoint(5, LogPosition(3, 1), clean=True)}
SESSION = 10.0


class Coordinator:
    """What aiokafka's has of the membership, and of commits."""

    def __init__(self) -> None:
        self.generation = 7
        self.member_id = "me"
        self.found: dict[TopicPartition, Any] = {}

    async def fetch_committed_offsets(self, _: list[TopicPartition]) -> dict[TopicPartition, Any]:
        return self.found


class Consumer:
    """Takes commits; `held` keeps them waiting, `error` refuses them, `during` happens meanwhile."""

    def __init__(self) -> None:
        self._coordinator = Coordinator()
        self.ids = TopicIds()
        self.commits: list[str] = []
        self.held: asyncio.Event | None = None
        self.error: Exception | None = None
        self.during: Any = None

    async def commit(self, offsets: dict[TopicPartition, Any]) -> None:
        if self.held is not None:
            await self.held.wait()
        if self.during is not None:
            self.during()
        if self.error is not None:
            raise self.error
        self.commits += [offset.metadata for offset in offsets.values()]

    async def beginning_offsets(self, _: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {TP: 3}


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
def lease() -> Lease:
    return Lease(SESSION)


@pytest.fixture
def membership(consumer: Consumer, lease: Lease, clock: FakeClock) -> Membership:
    topic = topic_of(consumer.ids, clock)
    return Membership(cast("AIOKafkaConsumer", consumer), topic, lease, clock, patience=0.2)


async def test_an_accepted_commit_renews_the_lease_from_when_it_was_begun(
    membership: Membership, consumer: Consumer, lease: Lease, clock: FakeClock
):
    consumer.during = lambda: clock.advance(4)
    await membership.commit(OPEN)
    assert consumer.commits == ["1 3 1 open"]
    assert lease.remaining(clock.monotonic()) == SESSION - 4


@pytest.mark.parametrize("change", [("generation", 8), ("generation", -1), ("member_id", "somebody")])
async def test_nothing_is_committed_once_the_generation_is_another(
    membership: Membership, consumer: Consumer, lease: Lease, clock: FakeClock, change: tuple[str, object]
):
    """aiokafka would send it with the new generation, or with -1, which an empty group takes from anybody."""
    setattr(consumer._coordinator, *change)
    with pytest.raises(NotOwnerError):
        await membership.commit(OPEN)
    assert consumer.commits == []
    assert lease.remaining(clock.monotonic()) == 0


async def test_a_generation_that_changes_during_a_commit_loses_the_membership_and_renews_no_lease(
    membership: Membership, consumer: Consumer, lease: Lease, clock: FakeClock
):
    consumer.during = lambda: setattr(consumer._coordinator, "generation", 8)
    with pytest.raises(NotOwnerError):
        await membership.commit(OPEN)
    assert not membership.held
    assert lease.remaining(clock.monotonic()) == 0


@pytest.mark.parametrize("refusal", [CommitFailedError("rebalanced"), IllegalStateError("not assigned")])
async def test_a_refused_commit_loses_the_membership_for_good(
    membership: Membership, consumer: Consumer, refusal: Exception
):
    consumer.error = refusal
    with pytest.raises(NotOwnerError):
        await membership.commit(OPEN)
    consumer.error = None
    with pytest.raises(NotOwnerError):
        await membership.commit(OPEN)
    assert consumer.commits == []
    assert not PartitionOwnership(membership, TP).held


async def test_a_broker_that_does_not_answer_loses_nothing_and_renews_nothing(
    membership: Membership, consumer: Consumer, lease: Lease, clock: FakeClock
):
    consumer.error = RequestTimedOutError()
    with pytest.raises(RequestTimedOutError):
        await membership.commit(OPEN)
    consumer.error, consumer.held = None, asyncio.Event()
    with pytest.raises(TimeoutError):
        await membership.commit(OPEN)
    assert membership.held
    assert lease.remaining(clock.monotonic()) == 0
    consumer.held = None
    await membership.commit(OPEN)
    assert lease.remaining(clock.monotonic()) == SESSION


async def test_a_commit_that_waited_behind_the_last_one_is_not_sent_after_it(
    membership: Membership, consumer: Consumer
):
    """Its open mark would undo the clean one, and cost the next owner a quarantine."""
    consumer.held = asyncio.Event()

    async def leave() -> None:
        await membership.commit(CLEAN)
        membership.lose()

    leaving = asyncio.create_task(leave())
    await asyncio.sleep(0)
    late = asyncio.create_task(membership.commit(OPEN))
    await asyncio.sleep(0)
    consumer.held.set()
    await leaving
    with pytest.raises(NotOwnerError):
        await late
    assert consumer.commits == ["1 3 1 clean"]


async def test_where_nothing_was_committed_a_partition_starts_at_its_beginning_and_unclean(membership: Membership):
    assert await PartitionOwnership(membership, TP).committed() == Checkpoint(
        3, LogPosition(0, 0), clean=False, is_first=True
    )


async def test_a_commit_says_which_topic_its_offset_is_of_and_one_of_a_topic_made_anew_is_none(
    membership: Membership, consumer: Consumer, lease: Lease, clock: FakeClock
):
    await membership.committed(TP)
    await membership.commit(OPEN)
    (metadata,) = consumer.commits
    consumer._coordinator.found = {TP: OffsetAndMetadata(5, metadata)}
    assert await membership.committed(TP) == OPEN[TP]
    consumer.ids.number = 2
    joined_anew = Membership(cast("AIOKafkaConsumer", consumer), topic_of(consumer.ids, clock), lease, clock, 0.2)
    assert await joined_anew.committed(TP) == Checkpoint(3, LogPosition(0, 0), clean=False, is_anew=True)
    with pytest.raises(TopicMadeAnewError):
        await membership.committed(TP)


async def test_a_commit_of_a_version_that_named_no_topic_is_believed(membership: Membership, consumer: Consumer):
    consumer._coordinator.found = {TP: OffsetAndMetadata(5, CLEAN[TP].metadata)}
    assert await membership.committed(TP) == CLEAN[TP]


async def test_brokers_without_ids_are_asked_once_and_believed(clock: FakeClock):
    ids = TopicIds()
    topic = topic_of(ids, clock)
    ids.number = None
    assert not topic.is_fresh
    await topic.check()
    clock.advance(1e6)
    assert topic.is_fresh
    await topic.check()
    assert ids.asked == 1
    assert topic.marked("1 3 1 open") == "1 3 1 open"


async def test_a_broker_that_has_no_ids_yet_makes_no_topic_anew_and_hides_none(clock: FakeClock):
    ids = TopicIds()
    topic = topic_of(ids, clock)
    await topic.check()
    ids.number = None
    await topic.check()
    ids.number = 2
    with pytest.raises(TopicMadeAnewError):
        await topic.check()


async def test_a_topic_that_was_found_to_be_another_is_used_by_nobody_who_asks_next(clock: FakeClock):
    ids = TopicIds()
    topic = topic_of(ids, clock)
    await topic.check()
    clock.advance(SEEN_FOR)
    ids.number = 2
    for _ in range(2):
        with pytest.raises(TopicMadeAnewError):
            await topic.check()
        assert not topic.is_fresh
