"""What one instance knows of the log: every lane's newest change, where it stands, who waits, and who is told.

Synchronous: between two calls of `take` a snapshot and the position are of the same moment.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gateway.edge.filters import Filter
from gateway.edge.frames import EventFrame, Heartbeat
from gateway.edge.groups import Group, Lane, Later, Offsets, Reader, SubscriberGroups
from gateway.edge.history import History
from gateway.edge.position import Positions
from gateway.edge.record import EventRow
from gateway.edge.tokens import Rights
from gateway.edge.wire import Wire

MOST_ANSWERS = 50_000  # events remembered by their command
CommandKey = tuple[str, str]  # `<venue>:<account>` and the command's id
Told = Callable[[EventRow], None]


class NamedCommand(NamedTuple):
    """A sender's name for its command, and who is told before the event is written."""

    ref: str
    told: Callable[[], None]


class Hub:
    """The state of one log; where the log is another one, another hub takes its place.

    Attributes:
        history: its events.
        positions: how places in it are written.
        lag: for how many seconds something committed may be missing.
        groups: who is told what comes.
    """

    def __init__(
        self,
        history: History,
        positions: Positions,
        later: Later,
        monotonic: Callable[[], float],
        lag: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.history = history
        self.positions = positions
        self.lag = lag
        self.groups = SubscriberGroups(positions, later, monotonic, lambda: self.offsets)
        self._heartbeat: tuple[object, bytes] = None, b""
        self._lanes: dict[str, dict[Lane, EventRow]] = {}
        self._answers: OrderedDict[CommandKey, EventRow] = OrderedDict()
        self._waiting: dict[CommandKey, list[Told]] = {}
        self._refs: dict[CommandKey, dict[Reader, NamedCommand]] = {}

    @property
    def offsets(self) -> Offsets:
        """The offset after the last event taken, by partition."""
        return tuple(self.history.ends)

    @property
    def lane_count(self) -> int:
        """How many lanes are known."""
        return sum(map(len, self._lanes.values()))

    def load(self, key: Lane, row: EventRow | None) -> None:
        """Take a row of the state topic; None where the lane was taken out of it."""
        if row is not None:
            self._lanes.setdefault(row.face.account, {})[key] = row
        else:
            self._lanes.get(key[1], {}).pop(key, None)

    def take(self, partition: int, records: Iterable[EventRow], end: int) -> None:
        """Take the next events of a partition, and note that there is nothing more before `end`."""
        for record in records:
            self._take(record)
        self.history.move(partition, end)

    def settle(self) -> None:
        """Give out what was taken."""
        self.groups.settle()

    def snapshot(self, chosen: Filter, rights: Rights) -> list[EventRow]:
        """The lanes that somebody asks for and may see, as they are at `offsets`."""
        accounts: Iterable[str] = self._lanes if chosen.accounts is None else chosen.accounts & self._lanes.keys()
        return [
            row
            for account in accounts
            if rights.allow(account)
            for row in self._lanes[account].values()
            if chosen.takes(row.face)
        ]

    def position(self, rights: Rights) -> str:
        """Where it stands, for somebody."""
        return self.positions.write(self.offsets, rights.digest)

    def heartbeat(self, wire: Wire, position: str | None) -> bytes:
        """The heartbeat of who stands somewhere: thousands stand at the same, and are told at once."""
        lag_ms = round(self.lag() * 1000)
        about = wire.name, position, lag_ms
        if self._heartbeat[0] != about:
            self._heartbeat = about, wire.frame(Heartbeat(position=position, lag_ms=lag_ms))
        return self._heartbeat[1]

    def answer(self, key: CommandKey) -> EventRow | None:
        """The event of a command, where it came lately."""
        return self._answers.get(key)

    def wait(self, key: CommandKey, told: Told) -> None:
        """Have somebody told of a command's event, once."""
        self._waiting.setdefault(key, []).append(told)

    def wait_no_more(self, key: CommandKey, told: Told) -> None:
        """Take that back; it need not be waiting."""
        waiting = self._waiting.get(key, [])
        if told in waiting:
            waiting.remove(told)
        if not waiting:
            self._waiting.pop(key, None)

    def name(self, key: CommandKey, sender: Reader, named: NamedCommand) -> None:
        """Let a sender have its command's event with its `ref`."""
        self._refs.setdefault(key, {})[sender] = named

    def name_no_more(self, sender: Reader, keys: Iterable[CommandKey]) -> None:
        """Take that back; the events may have been there."""
        for key in keys:
            refs = self._refs.get(key, {})
            refs.pop(sender, None)
            if not refs:
                self._refs.pop(key, None)

    def _take(self, record: EventRow) -> None:
        key = record.key
        before = self.offsets
        self.history.append(record)
        if record.is_change:
            self._lanes.setdefault(record.face.account, {})[record.lane] = record
        self._answers[key] = record
        if len(self._answers) > MOST_ANSWERS:
            self._answers.popitem(last=False)
        refs: dict[Reader, str] = {}
        for sender, named in self._refs.pop(key, {}).items():
            named.told()
            refs[sender] = named.ref
        self._tell(record, before, self.groups.concerned(record), refs)
        for told in self._waiting.pop(key, ()):
            told(record)

    def _tell(self, record: EventRow, before: Offsets, concerned: Sequence[Group], refs: dict[Reader, str]) -> None:
        written: dict[bytes, str] = {}
        for group in concerned:
            digest = group.choice.rights.digest
            if digest not in written:
                written[digest] = self.positions.write(self.offsets, digest)
            group.add(record, before, written[digest], refs)
        for sender, ref in refs.items():
            if not any(group.choice.mode == "events" and sender in group.members for group in concerned):
                sender.write(sender.wire.frame(EventFrame(ref=ref, event=sender.wire.event(record.value))))
