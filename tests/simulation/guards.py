"""The guards that keep the promises, each as something that can be taken out: what is left when nobody holds it."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import count
from typing import Any
from unittest.mock import PropertyMock, patch

from aiokafka.errors import KafkaError

from gateway.calls.venue_caller import VenueCaller
from gateway.kafka.answer_log import KafkaAnswerLog
from gateway.kafka.assignment import PartitionOwnership
from gateway.kafka.fetch import CommandReader
from gateway.kafka.group import Group
from gateway.kafka.membership import Membership
from gateway.kafka.packing import pack
from gateway.outcomes import Ambiguous, Unavailable
from gateway.ownership.lease import Afterlife, Lease
from gateway.ownership.ledger import LogPosition
from gateway.ownership.ports import Tail
from gateway.ownership.repeats import Repeats
from gateway.pipeline import partition, parts, settle
from gateway.pipeline.intake import Intake
from gateway.pipeline.lane import Lane
from gateway.pipeline.serve import LaneServer
from gateway.pipeline.verdicts import Verdicts
from tests.simulation.clients import SimulatedClients
from tests.simulation.loop import running_process
from tests.simulation.member import SimulatedMember

Removal = Callable[[], AbstractContextManager[Any]]


def the_lease() -> AbstractContextManager[Any]:
    """Calls start for as long as nothing has told that the partition is lost."""
    return patch.object(Lease, "allows", lambda *_: True)


@contextmanager
def the_epoch_check():
    """Neither generation nor revocation is looked at: only the lease and the coordinator's refusals are left."""
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
        self._unwritten.clear()
        return wanted(self, now, may_call=may_call)

    with patch.object(Lane, "next", at_once):
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
    learn = settle.Settlement._learn

    async def guess(self, partition: int, start: LogPosition):
        tail = await learn(self, partition, start)
        return Tail({}, (), tail.end)

    with patch.object(settle.Settlement, "_learn", guess):
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


def the_clean_mark() -> AbstractContextManager[Any]:
    """Whoever leaves says that nothing is under way."""
    return patch.object(partition.Partition, "_is_settled", lambda _: True)


def the_repeats() -> AbstractContextManager[Any]:
    """A command id may come again."""
    return patch.object(Repeats, "is_repeat", lambda *_: False)


def comparing_what_was_answered() -> AbstractContextManager[Any]:
    """What was answered at an offset is taken to be what is there now."""
    return patch.object(partition.Partition, "_see_answered", lambda *_: None)


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
        patch.object(Intake, "_seconds_left", lambda *_: 20.0),
    ):
        yield


def the_pause_on_assignment() -> AbstractContextManager[Any]:
    """Records are handed out while a partition is taken over."""
    return patch.object(SimulatedMember, "pause", lambda *_: None)


@contextmanager
def the_look_at_what_was_refused():
    """A transaction is committed whatever became of its records, as the client library does it."""

    async def unseen(self, producer, records):
        batches = pack(producer.create_batch, records)
        results = await asyncio.gather(*await self._send(producer, batches), return_exceptions=True)
        offsets = [0 if isinstance(result, BaseException) else result.offset for result in results]
        return [batch.sent(first) for batch, first in zip(batches, offsets, strict=True)]

    with patch.object(KafkaAnswerLog, "_produce", unseen):
        yield


@contextmanager
def reading_without_the_library():
    """What the library cannot parse is asked of it again."""

    async def again(_, error):
        raise KafkaError(str(error))

    with patch.object(CommandReader, "_read_all", again):
        yield


def the_watch_over_the_membership() -> AbstractContextManager[Any]:
    """Nobody looks whether the library still works."""
    return patch.object(Group, "_check_membership", lambda _: None)


def both(*removals: Removal) -> Removal:
    """Several at once."""

    @contextmanager
    def all_of_them():
        with ExitStack() as stack:
            for removal in removals:
                stack.enter_context(removal())
            yield

    return all_of_them
