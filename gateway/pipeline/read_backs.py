"""Reading back what lanes have at their venues. Who waits for its turn holds a place in line, and no task.

Before it, `serve` has a lane in doubt, or a policy that hangs on its present value; after it, the call.
"""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from gateway.calls.alarms import Alarms
from gateway.calls.turns import CallPermit, Turn, TurnResult
from gateway.calls.venue_caller import VenueCaller
from gateway.clock import Clock
from gateway.limits.permits import LimitFrozenError
from gateway.outcomes import Applied, Refusal
from gateway.pipeline.command import Command
from gateway.pipeline.fence import NO_LEASE_PAUSE, Fence
from gateway.pipeline.observer import Observer
from gateway.venues.credentials import Credentials, Keyring
from gateway.venues.venue import Call
from schemas import VenueName
from schemas.targets import LaneKey


class _Reading:
    """A lane's present value is wanted, until some time."""

    __slots__ = ("call", "command", "tell", "turn", "until")

    def __init__(self, command: Command, call: Call, until: float, tell: Callable[[Applied | None], None]) -> None:
        self.command = command
        self.call = call
        self.until = until
        self.tell = tell
        self.turn: Turn | None = None


class ReadBacks:
    """All readings of one partition, at most one a lane.

    Attributes:
        called_at: no reading reaches a venue later than that, in wall seconds.
    """

    def __init__(
        self,
        *,
        callers: Mapping[VenueName, VenueCaller],
        accounts: Keyring,
        clock: Clock,
        fence: Fence,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        observer: Observer,
    ) -> None:
        """`spawn` runs a call to its end, or until the partition is lost."""
        self.called_at = 0.0
        self._callers = callers
        self._accounts = accounts
        self._clock = clock
        self._fence = fence
        self._spawn = spawn
        self._observer = observer
        self._waiting: dict[LaneKey, _Reading] = {}
        self._alarms: Alarms[LaneKey] = Alarms(clock, self._ring)

    def begin(self, command: Command, tell: Callable[[Applied | None], None]) -> None:
        """Have `tell` told once what the command's lane has; None where the venue does not tell, or not in time."""
        try:
            call = self._call(command)
        except Exception as error:  # noqa: BLE001 - a bug must not take the other lanes down, nor this command's answer
            self._observer.failed(command, error)
            call = None
        if call is None:
            tell(None)
            return
        until = self._clock.monotonic() + self._callers[command.venue].settings.call_timeout
        reading = _Reading(command, call, max(until, command.deadline), tell)
        self._waiting[command.lane] = reading
        self._line_up(reading)

    def close(self) -> None:
        """Leave every line: nobody is told any more."""
        self._alarms.close()
        for reading in self._waiting.values():
            if reading.turn is not None:
                reading.turn.leave()
        self._waiting.clear()

    def _call(self, command: Command) -> Call | None:
        """What asks for the lane's value; None where nothing can, or nobody has keys."""
        if isinstance(self._credentials(command), Refusal):
            return None
        return self._callers[command.venue].venue.read_back(command.command)

    def _line_up(self, reading: _Reading) -> None:
        command, caller = reading.command, self._callers[reading.command.venue]
        try:
            turn = caller.turn(command.command.account, reading.call)
            result = turn.start(lambda result: self._turn_came(reading, result))
        except Exception as error:  # noqa: BLE001 - as above
            self._observer.failed(command, error)
            self._end(reading, None)
            return
        if result is None:
            reading.turn = turn
            self._alarms.set(command.lane, reading.until)
        else:
            self._take(reading, result)

    def _turn_came(self, reading: _Reading, result: TurnResult) -> None:
        reading.turn = None
        self._take(reading, result)

    def _take(self, reading: _Reading, result: TurnResult) -> None:
        call_timeout = self._callers[reading.command.venue].settings.call_timeout
        match result:
            case CallPermit() if self._fence.may_read(call_timeout):
                self._leave(reading)
                self._spawn(self._read(reading, result))
            case CallPermit():
                result.give_back()
                again = self._clock.monotonic() + NO_LEASE_PAUSE
                self._alarms.set(reading.command.lane, min(again, reading.until))
            case LimitFrozenError():
                self._line_up(reading)
            case _:
                self._end(reading, None)

    def _ring(self, key: LaneKey) -> None:
        reading = self._waiting[key]
        if self._clock.monotonic() < reading.until:
            self._line_up(reading)
            return
        if reading.turn is not None:
            reading.turn.leave()
        self._end(reading, None)

    def _end(self, reading: _Reading, value: Applied | None) -> None:
        self._leave(reading)
        reading.tell(value)

    def _leave(self, reading: _Reading) -> None:
        del self._waiting[reading.command.lane]
        self._alarms.drop(reading.command.lane)

    async def _read(self, reading: _Reading, permit: CallPermit) -> None:
        try:
            value = await self._value(reading, permit)
        except Exception as error:  # noqa: BLE001 - as above
            self._observer.failed(reading.command, error)
            value = None
        reading.tell(value)

    async def _value(self, reading: _Reading, permit: CallPermit) -> Applied | None:
        command, message = reading.command, reading.command.command
        caller = self._callers[command.venue]
        credentials = self._credentials(command)
        if isinstance(credentials, Refusal):
            permit.give_back()
            return None
        call_timeout = caller.settings.call_timeout
        self.called_at = max(self.called_at, self._clock.wall() + call_timeout)
        outcome = await caller.send(
            permit,
            message.account,
            reading.call,
            credentials,
            lambda reply: caller.venue.classify_read_back(message, reply),
            may_send=lambda: self._fence.may_read(call_timeout),
            about=command,
        )
        return outcome if isinstance(outcome, Applied) else None

    def _credentials(self, command: Command) -> Credentials | Refusal:
        return self._accounts.credentials(command.venue, command.command.account)
