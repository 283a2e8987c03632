"""The guards that keep the promises, each as something that can be taken out: what is left when nobody holds it."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import count
from math import inf
from typing import Any
from unittest.mock import PropertyMock, patch

from aiokafka.errors import CorruptRecordException, KafkaError

from gateway.calls.venue_caller import VenueCaller
from gateway.kafka import group
from gateway.kafka.answer_log import KafkaAnswerLog
from gateway.kafka.assignment import PartitionOwnership
from gateway.kafka.commands_topic import CommandsTopic
from gateway.kafka.membership import Membership
from gateway.outcomes import Ambiguous, Unavailable
from gateway.ownership.lease import Afterlife, Lease
from gateway.ownership.ports import Tail
from gateway.ownership.repeats import Repeats
from gateway.pipeline import partition, parts, settle
from gateway.pipeline.lane import Lane
from gateway.pipeline.rules import CommandRules
from gateway.pipeline.serve import LaneServer
from gateway.pipeline.steps import Tell
from gateway.pipeline.verdicts import Verdicts
from tests.kit.world import running_process
from tests.simulation.clients import SimulatedClients, SimulatedProducer, Taken
from tests.simulation.member import SimulatedMember

Removal = Callable[[], AbstractContextManager[Any]]


def the_lease() -> AbstractContextManager[Any]:
    """Calls start for as long as nothing has told that the partition is lost."""
    return patch.object(Lease, "allows", lambda *_: True)


@contextmanager
def the_epoch_check():
    """Neither generation nor revocation is looked at: only the lease and the coordinator's refusals are left.

    What the client library has as its generation is read in one private place, and nowhere else can it be held still.
    """
    with (
        patch.object(PartitionOwnership, "held", PropertyMock(return_value=True)),
        patch.object(Membership, "_current", lambda _: (0, "")),
    ):
        yield


@contextmanager
def lease_and_epoch_check():
    """Both."""
    with the_lease(), the_epoch_check():
        yield


def the_quarantine() -> AbstractContextManager[Any]:
    """A new owner calls at once."""
    nothing = Afterlife(starts=0.0, arrives=0.0, takes_effect=0.0)
    return patch.object(parts, "afterlife", lambda *_, **_more: nothing)


@contextmanager
def the_restore():
    """What a predecessor answered is not read."""
    read = KafkaAnswerLog.read

    async def nothing(self, start, window=None, *, lowest=0):
        tail = await read(self, start, window, lowest=lowest)
        return tail if window is None else Tail({}, (), tail.end)

    with patch.object(KafkaAnswerLog, "read", nothing):
        yield


@contextmanager
def the_wait_for_the_commit():
    """A lane goes on as soon as an answer is known."""
    wanted = Lane.next

    def at_once(self, now, *, may_call):
        step = wanted(self, now, may_call=may_call)
        if isinstance(step, Tell):
            self.committed(step.command.offset)
        return step

    with patch.object(Lane, "next", at_once), patch.object(Lane, "answered", lambda *_: None):
        yield


@contextmanager
def the_lanes_order():
    """Every command has a lane of its own."""
    lane, numbers = LaneServer.lane, count()
    with patch.object(LaneServer, "lane", lambda self, key: lane(self, (*key[:2], f"{key[2]}#{next(numbers)}"))):
        yield


@contextmanager
def fencing():
    """Each process has transactional ids of its own."""
    make = SimulatedClients.producer

    def own(self, *, transactional_id: str, **more: Any):
        return make(self, transactional_id=f"{transactional_id} of {running_process().name}", **more)

    with patch.object(SimulatedClients, "producer", own):
        yield


@contextmanager
def reading_after_an_unknown_commit():
    """What became of a transaction is guessed: it was not."""
    learn = settle.learn

    async def guess(*arguments: Any):
        return Tail({}, (), (await learn(*arguments)).end)

    with patch.object(settle, "learn", guess):
        yield


@contextmanager
def asking_after_the_fence():
    """Ownership is asked for before the transactional id is taken, and not after it."""
    renew = PartitionOwnership.renew
    asked: set[int] = set()

    async def every_other(self, checkpoint):
        if id(self) in asked:
            asked.discard(id(self))
        else:
            await renew(self, checkpoint)
            asked.add(id(self))

    with patch.object(PartitionOwnership, "renew", every_other):
        yield


@contextmanager
def doubt_of_what_a_predecessor_sent():
    """A new owner takes it that nothing was sent."""
    admit = Lane.admit
    with patch.object(Lane, "admit", lambda self, command, **_: admit(self, command)):
        yield


@contextmanager
def the_wait_after_an_unknown_call():
    """What was cut off is held to be over."""
    unset = property(lambda _: float("-inf"), lambda *_: None)
    with patch.object(Lane, "quiet_at", unset):
        yield


@contextmanager
def reading_back():
    """An unknown outcome is reported as if nothing had been applied."""
    sent = Lane.sent

    def careless(self, outcome, **facts):
        told = Unavailable(message="cut off", http_status=503) if isinstance(outcome, Ambiguous) else outcome
        return sent(self, told, **facts)

    with patch.object(Lane, "sent", careless):
        yield


@contextmanager
def the_clean_mark():
    """Whoever leaves says that nothing is under way."""
    drain = partition.Partition.drain

    async def clean(self, patience):
        point = await drain(self, patience)
        return point if point is None else self.checkpoint(clean=True)

    with patch.object(partition.Partition, "drain", clean):
        yield


def the_repeats() -> AbstractContextManager[Any]:
    """A command id may come again."""
    return patch.object(Repeats, "is_repeat", lambda *_: False)


def comparing_what_was_answered() -> AbstractContextManager[Any]:
    """What was answered at an offset is taken to be what is there now."""
    return patch.object(partition, "is_of", lambda *_: True)


def assuming_the_budget_spent() -> AbstractContextManager[Any]:
    """A new owner takes it that its predecessor called nobody lately."""
    return patch.object(VenueCaller, "assume_spent", lambda *_: None)


@contextmanager
def the_deadlines():
    """Nothing is ever late."""
    send = VenueCaller.send

    async def whenever(self, *arguments, expires_at=None, **more):
        return await send(self, *arguments, **more)

    with (
        patch.object(VenueCaller, "send", whenever),
        patch.object(Verdicts, "is_expired", lambda *_: False),
        patch.object(CommandRules, "seconds_left", lambda *_, **_more: 20.0),
    ):
        yield


def the_pause_on_assignment() -> AbstractContextManager[Any]:
    """Records are handed out while a partition is taken over."""
    return patch.object(SimulatedMember, "pause", lambda *_: None)


@contextmanager
def the_look_at_what_was_refused():
    """A transaction is committed whatever became of its records, as the client library does it."""
    send = SimulatedProducer.send_batch

    async def unseen(self, batch, topic, *, partition):
        sent = await send(self, batch, topic, partition=partition)
        looked_at: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        sent.add_done_callback(lambda one: looked_at.set_result(Taken(0) if one.exception() else one.result()))
        return looked_at

    with patch.object(SimulatedProducer, "send_batch", unseen):
        yield


@contextmanager
def reading_without_the_library():
    """What the library cannot parse is asked of it again."""
    getmany = SimulatedMember.getmany

    async def again(self, *wanted, **more):
        try:
            return await getmany(self, *wanted, **more)
        except (CorruptRecordException, UnicodeDecodeError) as error:
            raise KafkaError(str(error)) from error

    with patch.object(SimulatedMember, "getmany", again):
        yield


def the_watch_over_the_membership() -> AbstractContextManager[Any]:
    """Nobody looks whether the library still works."""
    return patch.object(group, "ended_task", lambda _: None)


def asking_for_the_topics_id() -> AbstractContextManager[Any]:
    """A topic made anew passes for the one that it followed."""

    async def unasked(self):
        self._fresh_until = inf

    return patch.object(CommandsTopic, "check", unasked)


def the_look_at_who_cancels() -> AbstractContextManager[Any]:
    """A cancellation out of the library ends what is ours."""
    return patch.object(group, "lasting", lambda work: work())


def both(*removals: Removal) -> Removal:
    """Several at once."""

    @contextmanager
    def all_of_them():
        with ExitStack() as stack:
            for removal in removals:
                stack.enter_context(removal())
            yield

    return all_of_them
