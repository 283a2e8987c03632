"""What the lanes of some letters have now, what they were asked since, and whether their accounts' venues answer.

Read to the end and read on. The commands are read from after the oldest letter's own, the events from before it was
written: whatever answers a newer command comes later. What is kept is bounded by the lanes and accounts of the letters.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.client.dead_letters.health import AccountHealth, BrakeWatch
from gateway.client.dead_letters.letters import Letter
from gateway.client.dead_letters.log import read_event
from gateway.client.dead_letters.verdicts import LaneNow
from gateway.client.lanes import LaneKey
from gateway.client.reading import TopicFollower, TopicReader
from schemas import DecodeError, Event, LeverageChanged, SetLeverage, VenueName, decode_command
from schemas.dead_letter import read_integer
from schemas.headers import COMMAND_OFFSET, content_type, header
from schemas.targets import venue_of
from schemas.topics import Topics

CLOCKS_WITHIN_MS = 3_600_000  # between an engine's clock and the gateway's
LATER_COMMANDS = 20  # of each lane, the newest


class LaterCommand(Struct, frozen=True, kw_only=True):
    """A command of a letter's lane that is newer than the letter's; `outcome` is `changed`, a reason, or `open`."""

    offset: int
    command_id: str
    leverage: Decimal
    issuer: str | None
    outcome: str = "open"


class Known:
    """What is known of these letters' lanes; `open` reads it, `read_on` keeps it true."""

    def __init__(
        self, letters: Sequence[Letter], *, commands: TopicFollower, events: TopicFollower, with_history: bool
    ) -> None:
        keys = {letter.lane_key for letter in letters}
        self._lanes: dict[LaneKey, LaneNow] = {key: LaneNow() for key in keys if key is not None}
        self._later: dict[LaneKey, dict[int, LaterCommand]] = {key: {} for key in self._lanes} if with_history else {}
        self._commands = commands
        self._events = events
        self.accounts: dict[tuple[VenueName, str], AccountHealth] = {
            (key.venue, key.account): AccountHealth() for key in self._lanes
        }
        self.brakes = BrakeWatch()
        self.outcomes: dict[str, str | None] = {}  # of the commands that are waited for, by id

    @classmethod
    async def open(
        cls, reader: TopicReader, topics: Topics, letters: Sequence[Letter], *, with_history: bool = False
    ) -> "Known":
        """Read what there is to know of these letters' lanes; with the commands that came later, if asked."""
        times: dict[int, int] = {}
        after: dict[int, int] = {}
        for letter in letters:
            number, time = letter.partition, letter.command_time_ms - CLOCKS_WITHIN_MS
            times[number] = min(time, times.get(number, time))
            if letter.command_offset is not None:
                after[number] = min(letter.command_offset + 1, after.get(number, letter.command_offset + 1))
        commands = {
            number: max(span.begin, after[number])
            for number, span in (await reader.ranges(topics.commands, after)).items()
        }
        known = cls(
            letters,
            commands=TopicFollower(reader, topics.commands, commands),
            events=TopicFollower(reader, topics.events, await events_since(reader, topics, times)),
            with_history=with_history,
        )
        async for records in reader.forwards(topics.state, await reader.ranges(topics.state, times)):
            for record in records:
                known._take_state(record)
        await known.read_on()
        return known

    async def read_on(self) -> None:
        """Take in what was written since the last time."""
        async for records in self._commands.read_on():
            for record in records:
                self._take_command(record)
        async for records in self._events.read_on():
            for record in records:
                self._take_event(record)

    def lane_of(self, letter: Letter) -> LaneNow:
        """What the letter's lane has."""
        key = letter.lane_key
        return LaneNow() if key is None else self._lanes[key]

    def later_of(self, letter: Letter) -> list[LaterCommand]:
        """What the letter's lane was asked after the letter's command, the newest last."""
        later = self._later.get(letter.lane_key) if letter.lane_key is not None else None
        own = letter.command_offset
        return [] if later is None or own is None else [one for one in later.values() if one.offset > own]

    def wait_for(self, command_id: str) -> None:
        """Note the outcome of this command when it is answered."""
        self.outcomes[command_id] = None

    def _take_state(self, record: Any) -> None:
        event = read_event(record)
        if event is not None:
            self._take_lane(event, read_integer(header(record.headers, COMMAND_OFFSET)))

    def _take_command(self, record: Any) -> None:
        try:
            command = decode_command(record.value or b"", content_type(record.headers))
        except DecodeError:
            return
        key = LaneKey(venue_of(command.target), command.account, command.target.lane)
        if key in self._lanes:
            self._take_later(key, record.offset, command)

    def _take_later(self, key: LaneKey, offset: int, command: SetLeverage) -> None:
        self._lanes[key] = replace(self._lanes[key], asked_offset=offset, asked_by=command.command_id)
        later = self._later.get(key)
        if later is None:
            return
        later[offset] = LaterCommand(
            offset=offset, command_id=command.command_id, leverage=command.leverage, issuer=command.issuer
        )
        if len(later) > LATER_COMMANDS:
            del later[next(iter(later))]

    def _take_event(self, record: Any) -> None:
        event = read_event(record)
        if event is None:
            return
        self._take_lane(event, read_integer(header(record.headers, COMMAND_OFFSET)))
        self.brakes.saw(event)
        account = self.accounts.get((venue_of(event.target), event.account))
        if account is not None:
            account.saw(event)
        if event.command_id in self.outcomes:
            self.outcomes[event.command_id] = outcome_of(event)

    def _take_lane(self, event: Event, offset: int | None) -> None:
        key = LaneKey.of(event)
        lane = self._lanes.get(key)
        if lane is None:
            return
        if isinstance(event, LeverageChanged):
            lane = replace(lane, leverage=event.leverage, changed_at=event.occurred_at)
        if offset is not None and offset > lane.answered_offset:
            lane = replace(lane, answered_offset=offset, answered_by=event.command_id)
        self._lanes[key] = lane
        later = self._later.get(key, {})
        if offset in later:
            later[offset] = replace(later[offset], outcome=outcome_of(event))


def outcome_of(event: Event) -> str:
    """What became of a command, in one word: `changed`, or the reason."""
    return "changed" if isinstance(event, LeverageChanged) else event.reason


async def events_since(reader: TopicReader, topics: Topics, times_ms: Mapping[int, int]) -> dict[int, int]:
    """The first offset of each partition of events that is of its time or later; where there is none, the end."""
    ranges = await reader.ranges(topics.events, times_ms)
    found = await reader.at_time(topics.events, {number: times_ms[number] for number in ranges})
    begins: dict[int, int] = {}
    for number, span in ranges.items():
        offset = found.get(number)
        begins[number] = span.end if offset is None else max(span.begin, offset)
    return begins
