"""What each lane had and when, and when commands came: as much of the past as rules ask about.

One object a partition. Bounded by lanes: of a lane's past only values are kept that are lower than all that came
after them, which is all a window's lowest can be made of.
"""

from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from math import inf
from typing import NamedTuple

from schemas import Event, LeverageChanged, SetLeverage, VenueName
from schemas.targets import LaneKey, venue_of

LONGEST_WINDOW = 7 * 86_400.0  # seconds; a rule's window and cool-down may be no longer


class _ValueUntil(NamedTuple):
    value: Decimal
    until: float  # wall seconds; infinite for what the lane has now


class _LanePast:
    __slots__ = ("changed_at", "held")

    def __init__(self, value: Decimal, at: float) -> None:
        self.changed_at = at
        self.held = deque([_ValueUntil(value, inf)])


class LaneHistory:
    """Lanes' values, learned from events in their order."""

    def __init__(self) -> None:
        self._lanes: dict[LaneKey, _LanePast] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def learn(self, lane: LaneKey, value: Decimal, at: float) -> None:
        """The lane has this value since `at`, in wall seconds; the same value again is no change.

        What is told later came later, whatever the clock said: it may have been set back.
        """
        past = self._lanes.get(lane)
        if past is None:
            self._lanes[lane] = _LanePast(value, at)
            return
        now_held = past.held[-1].value
        if value == now_held:
            return
        past.changed_at = at = max(at, past.changed_at)
        past.held[-1] = _ValueUntil(now_held, at)
        while past.held and past.held[-1].value >= value:
            past.held.pop()
        while past.held and past.held[0].until < at - LONGEST_WINDOW:
            past.held.popleft()
        past.held.append(_ValueUntil(value, inf))

    def observe(self, lane: LaneKey, value: Decimal, now: float) -> None:
        """The venue was asked and has this value: since when is not known where nobody had told any."""
        self.learn(lane, value, now if lane in self._lanes else -inf)

    def last(self) -> Iterator[tuple[LaneKey, Decimal, float]]:
        """What each lane has, and since when."""
        for lane, past in self._lanes.items():
            yield lane, past.held[-1].value, past.changed_at

    def present(self, lane: LaneKey) -> Decimal | None:
        """What the lane has now; None where nobody told."""
        past = self._lanes.get(lane)
        return None if past is None else past.held[-1].value

    def changed_at(self, lane: LaneKey) -> float:
        """When a lane whose present value is known got that, in wall seconds."""
        return self._lanes[lane].changed_at

    def lowest_since(self, lane: LaneKey, since: float) -> Decimal:
        """The lowest value in force at any moment after `since`, of a lane whose present value is known."""
        return next(held.value for held in self._lanes[lane].held if held.until > since)

    def below_until(self, lane: LaneKey, value: Decimal) -> float:
        """When such a lane last had less than `value`, in wall seconds; infinite where it has now."""
        return max((held.until for held in self._lanes[lane].held if held.value < value), default=-inf)


class CommandTimes:
    """When the last commands came that a rule counts: of each rule, venue and account no more than its limit."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, VenueName, str], deque[float]] = {}

    def count(self, key: tuple[str, VenueName, str], limit: int, at: float) -> None:
        """One more came."""
        times = self._times.get(key)
        if times is None or times.maxlen != limit:
            times = self._times[key] = deque(times or (), maxlen=limit)
        times.append(at)

    def oldest_of(self, key: tuple[str, VenueName, str], limit: int) -> float | None:
        """When the oldest of the last `limit` came; None where there were fewer."""
        times = self._times.get(key)
        return times[-limit] if times is not None and len(times) >= limit else None


def lane_of_event(event: Event) -> LaneKey:
    """The lane that an event is of."""
    return venue_of(event.target), event.account, event.lane


def command_of_event(event: Event) -> SetLeverage:
    """What was asked, as far as the event that answers it tells."""
    return SetLeverage(
        command_id=event.command_id,
        account=event.account,
        leverage=event.requested_leverage if isinstance(event, LeverageChanged) else event.leverage,
        target=event.target,
        issuer=event.issuer,
    )
