"""Readers who get the very same frames: each frame is made once for all of them, and each flush is one write a reader.

`SubscriberGroups` finds those whom an event concerns; a group of mode `events` gives its members every event in order,
one of mode `state` the newest of each lane, and to members that are slow no more than one of each lane later.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from gateway.edge.filters import Filter
from gateway.edge.frames import EventFrame, Mode, StateFrame
from gateway.edge.position import Positions
from gateway.edge.record import EventRow
from gateway.edge.tokens import Rights
from gateway.edge.wire import Wire

AT_ONCE = 200  # changes written to one reader at a time in mode `state`
PAY = 0.02  # seconds between two looks whether those who are owed something read again

Lane = tuple[str, str, str]
Offsets = tuple[int, ...]
Later = Callable[[float, Callable[[], None]], Any]


class Reader(Protocol):
    """A connection that frames are written to."""

    @property
    def wire(self) -> Wire:
        """How they are written."""
        ...

    @property
    def is_behind(self) -> bool:
        """Whether it should be given no more than it must."""
        ...

    def write(self, data: bytes) -> None:
        """Write, or give the reader up where it left too much unread."""
        ...


class Choice(NamedTuple):
    """All that makes frames of two readers the same."""

    id: str
    mode: Mode
    filter: Filter
    wire: Wire
    rights: Rights
    delay_ms: int

    @property
    def key(self) -> tuple[object, ...]:
        """The same for the same frames."""
        return self.id, self.mode, self.filter, self.wire.name, self.rights.digest, self.delay_ms


class Member:
    """One reader's place in a group.

    Attributes:
        reader: who.
        owed: in mode `state`, the newest of each lane that it has not been given yet.
        stood: what it had been given up to when something began to be owed.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.owed: dict[Lane, EventRow] = {}
        self.stood: Offsets = ()


class Shared(NamedTuple):
    """What groups share.

    Attributes:
        later: calls something after so many seconds.
        monotonic: the time.
        offsets: where the log stands.
        owing: who is owed something, and by which group.
        remind: has those who are owed something looked at in a moment.
    """

    positions: Positions
    later: Later
    monotonic: Callable[[], float]
    offsets: Callable[[], Offsets]
    owing: "dict[Member, StateGroup]"
    remind: Callable[[], None]


class EventsGroup:
    """Every event in order.

    Attributes:
        told_at: when its members were told something last, in monotonic seconds.
    """

    def __init__(self, choice: Choice, shared: Shared) -> None:
        self.choice = choice
        self.members: dict[Reader, Member] = {}
        self._shared = shared
        self._frames: list[bytes] = []
        self._own: dict[Reader, dict[int, bytes]] = {}
        self._stood: Offsets = ()
        self.told_at = 0.0

    def add(self, record: EventRow, before: Offsets, position: str, refs: Mapping[Reader, str]) -> None:
        """Take an event; to who sent its command it goes with that `ref`."""
        if not self._frames:
            self._stood = before
        wire, name = self.choice.wire, self.choice.id
        event = wire.event(record.value)
        for reader, ref in refs.items():
            if reader in self.members:
                own = wire.frame(EventFrame(id=name, ref=ref, event=event, position=position))
                self._own.setdefault(reader, {})[len(self._frames)] = own
        self._frames.append(wire.frame(EventFrame(id=name, event=event, position=position)))

    def stands(self, _member: Member) -> Offsets:
        """Up to where its members have been given everything."""
        return self._stood if self._frames else self._shared.offsets()

    def flush(self) -> None:
        """Give out what came."""
        if not self._frames:
            return
        self.told_at = self._shared.monotonic()
        data = b"".join(self._frames)
        for reader in list(self.members):
            own = self._own.get(reader)
            reader.write(data if own is None else self._with(own))
        self._frames, self._own = [], {}

    def _with(self, own: Mapping[int, bytes]) -> bytes:
        return b"".join(own.get(index, frame) for index, frame in enumerate(self._frames))


class StateGroup:
    """The newest of each lane.

    Only the last frame of a flush says where the reader stands then: what is older in the log may come after what is
    newer.

    Attributes:
        told_at: when its members were told something last, or were owed it, in monotonic seconds.
    """

    def __init__(self, choice: Choice, shared: Shared) -> None:
        self.choice = choice
        self.members: dict[Reader, Member] = {}
        self._shared = shared
        self._newest: dict[Lane, EventRow] = {}
        self._stood: Offsets = ()
        self.told_at = 0.0

    def add(self, record: EventRow, before: Offsets, _position: str, _refs: Mapping[Reader, str]) -> None:
        """Take a change; what says no changes no lane."""
        if record.is_change:
            if not self._newest:
                self._stood = before
            self._newest.pop(record.lane, None)
            self._newest[record.lane] = record

    def stands(self, member: Member) -> Offsets:
        """Up to where a member has been given everything."""
        if member.owed:
            return member.stood
        return self._stood if self._newest else self._shared.offsets()

    def flush(self) -> None:
        """Give out what came: at once to who reads, and owed to who is behind."""
        if not self._newest:
            return
        self.told_at = self._shared.monotonic()
        data = b""
        for reader, member in list(self.members.items()):
            if member.owed or reader.is_behind or len(self._newest) > AT_ONCE:
                self._owe(member)
                continue
            if not data:
                records = list(self._newest.values())
                data = state_frames(self.choice, self._shared.positions, records, self._stood, self._shared.offsets())
            reader.write(data)
        self._newest = {}

    def _owe(self, member: Member) -> None:
        if not member.owed:
            member.stood = self._stood
            self._shared.owing[member] = self
            self._shared.remind()
        for lane, record in self._newest.items():
            member.owed.pop(lane, None)
            member.owed[lane] = record

    def pay(self, member: Member) -> None:
        """Give a member some of what it is owed."""
        records = [member.owed.pop(lane) for lane in list(member.owed)[:AT_ONCE]]
        stands = member.stood
        if not member.owed:
            self._shared.owing.pop(member, None)
            stands = self._stood if self._newest else self._shared.offsets()
        member.reader.write(state_frames(self.choice, self._shared.positions, records, member.stood, stands))


def state_frames(
    choice: Choice, positions: Positions, records: Sequence[EventRow], stood: Offsets, stands: Offsets
) -> bytes:
    """Frames for changes to who stood somewhere; the last one says where the reader stands after it."""
    before, after = positions.write(stood, choice.rights.digest), positions.write(stands, choice.rights.digest)
    return b"".join(
        choice.wire.frame(
            StateFrame(
                id=choice.id,
                event=choice.wire.event(record.value),
                position=after if number == len(records) else before,
            )
        )
        for number, record in enumerate(records, 1)
    )


Group = EventsGroup | StateGroup


class SubscriberGroups:
    """All groups, found by the account of an event."""

    def __init__(
        self, positions: Positions, later: Later, monotonic: Callable[[], float], offsets: Callable[[], Offsets]
    ) -> None:
        self._shared = Shared(positions, later, monotonic, offsets, {}, self._remind)
        self._is_reminded = False
        self._groups: dict[tuple[object, ...], Group] = {}
        self._of_account: dict[str, list[Group]] = {}
        self._of_all: list[Group] = []
        self._unsettled: dict[Group, None] = {}
        self._delayed: set[Group] = set()

    def join(self, choice: Choice, reader: Reader) -> Group:
        """Give somebody all that comes from now on."""
        group = self._groups.get(choice.key)
        if group is None:
            kind = EventsGroup if choice.mode == "events" else StateGroup
            group = self._groups[choice.key] = kind(choice, self._shared)
            for place in self._places(choice):
                place.append(group)
        group.flush()  # what came before it
        group.members[reader] = Member(reader)
        return group

    def leave(self, group: Group, reader: Reader) -> None:
        """Give somebody nothing more."""
        member = group.members.pop(reader, None)
        if member is not None:
            self._shared.owing.pop(member, None)
        if not group.members and self._groups.get(group.choice.key) is group:
            del self._groups[group.choice.key]
            for place in self._places(group.choice):
                place.remove(group)
            for account in [account for account, groups in self._of_account.items() if not groups]:
                del self._of_account[account]

    def concerned(self, record: EventRow) -> list[Group]:
        """Whom an event concerns; `settle` lets them give it out."""
        face = record.face
        of_account = self._of_account.get(face.account, ())
        found = [group for group in of_account if group.choice.filter.takes(face)]
        of_all = self._of_all
        found += [one for one in of_all if one.choice.rights.allow(face.account) and one.choice.filter.takes(face)]
        self._unsettled.update(dict.fromkeys(found))
        return found

    def settle(self) -> None:
        """Let the groups that something came for give it out, now or after their delay."""
        unsettled, self._unsettled = self._unsettled, {}
        for group in unsettled:
            if not group.choice.delay_ms:
                group.flush()
            elif group not in self._delayed:
                self._delayed.add(group)
                self._shared.later(group.choice.delay_ms / 1000, partial(self._end_delay, group))

    def _end_delay(self, group: Group) -> None:
        self._delayed.remove(group)
        group.flush()

    def pay(self) -> None:
        """Give those who read again what they are owed, and look again at those who do not."""
        self._is_reminded = False
        for member, group in list(self._shared.owing.items()):
            while member.owed and not member.reader.is_behind:
                group.pay(member)
        if self._shared.owing:
            self._remind()

    def _remind(self) -> None:
        if not self._is_reminded:
            self._is_reminded = True
            self._shared.later(PAY, self.pay)

    def _places(self, choice: Choice) -> list[list[Group]]:
        if choice.filter.accounts is None:
            return [self._of_all]
        return [self._of_account.setdefault(account, []) for account in choice.filter.accounts]
