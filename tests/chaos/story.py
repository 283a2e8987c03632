"""What belongs to what in a history: each command record with its answers and calls, each lane's commands in order.

Calls carry no command id on the wire, so a call belongs to the command of its lane that asked for its value: whoever
makes the load gives each command of a lane another value. `rules` look at the result.
"""

from collections import defaultdict
from decimal import Decimal

from msgspec import Struct

from schemas import DecodeError, Event, LeverageChanged, SetLeverage, decode_command, decode_event
from schemas.headers import content_type
from schemas.targets import venue_of
from tests.chaos.history import Call, History, Place, Record

CLOCK_GRAIN = 0.002  # record timestamps are whole milliseconds


class Told(Struct, frozen=True):
    """An event with its record."""

    record: Record
    event: Event


class Asked:
    """A command record and all that belongs to it; `command` is None where the bytes are none."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.command = command_of(record)
        self.is_deleted = False
        self.repeats: Asked | None = None
        self.told: list[Told] = []
        self.dead_letters: list[Record] = []
        self.calls: list[Call] = []

    @property
    def place(self) -> Place:
        return self.record.place

    @property
    def is_gone(self) -> bool:
        """Whether it was deleted before anybody answered it, and so needs no answer."""
        return self.is_deleted and not self.told and not self.dead_letters

    @property
    def written_at(self) -> float:
        """When the broker took it, in seconds since 1970 UTC."""
        return self.record.timestamp_ms / 1000

    @property
    def value(self) -> Decimal | None:
        """What it asks for, where that is a number."""
        return self.command.leverage if self.command and self.command.leverage.is_finite() else None

    @property
    def answer(self) -> Event | None:
        """The first event."""
        return self.told[0].event if self.told else None

    @property
    def changed(self) -> LeverageChanged | None:
        """The answer where it is a yes."""
        return self.answer if isinstance(self.answer, LeverageChanged) else None

    @property
    def reason(self) -> str | None:
        """The reason where the answer is a no."""
        return getattr(self.answer, "reason", None)


class Story:
    """A history, sorted out.

    Attributes:
        asked: all command records by place.
        lanes: commands by lane in order; without repeats, as those are never sent.
        calls: the calls of each lane in the order in which the venue took them.
        strays: answers that answer no command record, with what they are.
        nobodys: calls that no command of their lane asked for.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.asked = {record.place: Asked(record) for record in sorted(history.commands, key=lambda each: each.place)}
        self.lanes: dict[str, list[Asked]] = defaultdict(list)
        self.calls: dict[str, list[Call]] = defaultdict(list)
        self.strays: list[tuple[str, Record]] = []
        self.nobodys: list[Call] = []
        self.owner_index: dict[int, int] = {}
        for place in history.deleted:
            self.asked[place].is_deleted = True
        self._find_repeats()
        self._place_answers()
        self._own_calls()

    def owner(self, call: Call) -> Asked | None:
        """The command that a call was made for."""
        index = self.owner_index.get(call.seq)
        return None if index is None else self.lanes[call.lane_key][index]

    def _find_repeats(self) -> None:
        first: dict[tuple[int, str, str], Asked] = {}
        for asked in self.asked.values():
            if asked.command is None:
                continue
            known = first.setdefault((asked.record.partition, asked.command.key, asked.command.command_id), asked)
            if known is asked:
                self.lanes[lane_key(asked.command)].append(asked)
            else:
                asked.repeats = known

    def _place_answers(self) -> None:
        for record in self.history.events:
            event, asked = event_of(record), self._answered(record)
            if event is None:
                self.strays.append(("unreadable event", record))
            elif asked is None:
                self.strays.append(("event", record))
            else:
                asked.told.append(Told(record, event))
        for record in self.history.dead_letters:
            asked = self._answered(record)
            if asked is None:
                self.strays.append(("dead letter", record))
            else:
                asked.dead_letters.append(record)

    def _answered(self, record: Record) -> Asked | None:
        place = record.answers
        return None if place is None else self.asked.get(place)

    def _own_calls(self) -> None:
        for call in sorted(self.history.calls, key=lambda each: each.seq):
            self.calls[call.lane_key].append(call)
        for key, calls in self.calls.items():
            commands = self.lanes.get(key, [])
            asking = {asked.value: index for index, asked in enumerate(commands)}
            for call in calls:
                index = asking.get(call.value)
                if index is None or call.received_at < commands[index].written_at - CLOCK_GRAIN:
                    self.nobodys.append(call)
                else:
                    self.owner_index[call.seq] = index
                    commands[index].calls.append(call)


def lane_key(command: SetLeverage) -> str:
    """`<venue>:<account>:<lane>`."""
    return f"{venue_of(command.target)}:{command.account}:{command.target.lane}"


def command_of(record: Record) -> SetLeverage | None:
    """The command in a record, if it is one."""
    try:
        return None if record.value is None else decode_command(record.value, content_type(record.headers))
    except DecodeError:
        return None


def event_of(record: Record) -> Event | None:
    """The event in a record, if it is one."""
    try:
        return None if record.value is None else decode_event(record.value, content_type(record.headers))
    except DecodeError:
        return None
