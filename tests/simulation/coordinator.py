"""The coordinator of the one group: eager rebalancing, sessions, generations, static members."""

from collections.abc import Callable
from typing import NamedTuple

from aiokafka.errors import (
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownError,
    UnknownMemberIdError,
)

from tests.chaos.history import Ownership
from tests.kit.clocks import NOON
from tests.kit.world import World


class Assignment(NamedTuple):
    """What a member gets by joining."""

    member_id: str
    generation: int
    partitions: tuple[int, ...]


class Member:
    """One member of the group as its coordinator knows it."""

    def __init__(self, member_id: str, instance_id: str | None, process: str) -> None:
        self.id = member_id
        self.process = process
        self.instance_id = instance_id
        self.heard_at = 0.0
        self.waits: Callable[[Assignment | KafkaError], None] | None = None
        self.partitions: tuple[int, ...] = ()


class Coordinator:
    """The members, and what they committed."""

    def __init__(self, world: World, partitions: int, session_timeout: float, rebalance_timeout: float) -> None:
        self.generation = 0
        self.owners: list[Ownership] = []
        self._unaware_until: dict[
            int, float
        ] = {}  # by partition: an owner replaced under its own id may go on till then
        self.offsets: dict[int, tuple[int, str]] = {}
        self._world = world
        self._partitions = partitions
        self._session_timeout = session_timeout
        self._rebalance_timeout = rebalance_timeout
        self._members: dict[str, Member] = {}
        self._rebalance = 0
        self._preparing = False
        self._named = 0

    def join(
        self, member_id: str, instance_id: str | None, process: str, respond: Callable[[Assignment | KafkaError], None]
    ) -> None:
        """Let a member in, or in again."""
        replaced = next((m for m in self._members.values() if instance_id and m.instance_id == instance_id), None)
        if member_id and member_id not in self._members:
            respond(UnknownMemberIdError())
            return
        if not member_id and replaced is not None:
            self._replace(replaced, process, respond)
            return
        member = self._members[member_id] if member_id else self._new(instance_id, process)
        member.waits = respond
        self._hear(member)
        if not self._preparing:
            self._prepare()
        self._complete_if_all()

    def heartbeat(self, member_id: str, generation: int) -> None:
        """Keep a session alive, and learn what goes on."""
        member = self._known(member_id, generation)
        self._hear(member)
        if self._preparing:
            raise RebalanceInProgressError

    def commit(self, member_id: str, generation: int, offsets: dict[int, tuple[int, str]]) -> None:
        """Take offsets from a member of this generation, or from anybody while there is no member (as Kafka does)."""
        if generation >= 0 or self._members:
            self._hear(self._known(member_id, generation))
        self.offsets |= offsets

    def disband(self) -> None:
        """All members are gone for so long that nothing of theirs is on its way any more, and what they committed is too."""
        self._members.clear()
        self.offsets.clear()
        self._preparing = False

    def leave(self, member_id: str) -> None:
        """A member says goodbye."""
        if self._members.pop(member_id, None) is not None:
            self._gone()

    def _known(self, member_id: str, generation: int) -> Member:
        member = self._members.get(member_id)
        if member is None:
            raise UnknownMemberIdError
        if generation != self.generation:
            raise IllegalGenerationError
        return member

    def is_replaced(self, member_id: str, instance_id: str) -> bool:
        """Whether another member has the instance id."""
        return any(one.instance_id == instance_id and one.id != member_id for one in self._members.values())

    def has(self, process: str) -> bool:
        """Whether a process is a member."""
        return any(member.process == process for member in self._members.values())

    def _new(self, instance_id: str | None, process: str) -> Member:
        self._named += 1
        member = Member(f"member-{self._named}", instance_id, process)
        self._members[member.id] = member
        self._world.after(self._session_timeout, self._check_session, member)
        return member

    def _replace(self, old: Member, process: str, respond: Callable[[Assignment | KafkaError], None]) -> None:
        """A static member came back under a new name: no rebalance, it gets what it had."""
        del self._members[old.id]
        if old.waits is not None:
            old.waits(UnknownError())  # the library knows no name for FENCED_INSTANCE_ID
        member = self._new(old.instance_id, process)
        self._hear(member)
        member.partitions = old.partitions
        unaware_until = self._world.now + self._session_timeout
        self._unaware_until |= dict.fromkeys(old.partitions, unaware_until)
        if self._preparing or not self.generation:
            member.waits = respond
            self._complete_if_all()
        else:
            self._own(member)
            respond(Assignment(member.id, self.generation, member.partitions))

    def _own(self, member: Member) -> None:
        now = self._world.now
        self.owners += [
            Ownership(
                partition=number,
                instance=member.process,
                since=NOON + now,
                is_handed_over=now < self._unaware_until.get(number, 0.0),
            )
            for number in member.partitions
        ]

    def _hear(self, member: Member) -> None:
        member.heard_at = self._world.now

    def _check_session(self, member: Member) -> None:
        if self._members.get(member.id) is not member:
            return
        ends = member.heard_at + self._session_timeout
        if member.waits is not None:
            self._world.after(self._session_timeout, self._check_session, member)
        elif ends > self._world.now:
            self._world.after(ends - self._world.now, self._check_session, member)
        else:
            del self._members[member.id]
            self._gone()

    def _gone(self) -> None:
        if not self._preparing:
            self._prepare()
        self._complete_if_all()

    def _prepare(self) -> None:
        self._preparing = True
        self._rebalance += 1
        self._world.after(self._rebalance_timeout, self._give_up_waiting, self._rebalance)

    def _give_up_waiting(self, rebalance: int) -> None:
        if self._preparing and rebalance == self._rebalance:
            for member in [member for member in self._members.values() if member.waits is None]:
                del self._members[member.id]
            self._complete_if_all()

    def _complete_if_all(self) -> None:
        if not self._preparing or any(member.waits is None for member in self._members.values()):
            return
        self._preparing = False
        self.generation += 1
        members = sorted(self._members.values(), key=lambda member: member.id)
        turn = self._world.random.randrange(len(members)) if members else 0
        for index, member in enumerate(members):
            mine = range((index + turn) % len(members), self._partitions, len(members))
            member.partitions = tuple(mine)
            respond, member.waits = member.waits, None
            self._hear(member)
            self._own(member)
            if respond is not None:
                respond(Assignment(member.id, self.generation, member.partitions))
