"""The driver of a partition's lanes: does the steps that `lane` wants and reports what came of them. No decisions.

A lane holds a task only while it is at its venue. What waits for its turn holds a place in line, to call or to read
back (`read_backs`), what waits for a time an entry in one heap, what waits for a commit nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from math import inf
from typing import Any

from gateway.calls.alarms import Alarms
from gateway.calls.turns import CallPermit, Turn, TurnResult
from gateway.calls.venue_caller import VenueCaller
from gateway.clock import Clock
from gateway.limits.permits import LimitFrozenError
from gateway.outcomes import Applied, ClockSkewed, Outcome, Refusal
from gateway.pipeline.command import Command
from gateway.pipeline.fence import NO_LEASE_PAUSE, Fence
from gateway.pipeline.lane import BUG, Lane, LanePolicy
from gateway.pipeline.observer import Observer
from gateway.pipeline.read_backs import ReadBacks
from gateway.pipeline.steps import GiveUp, Look, Obtain, Rest, Send, Tell
from gateway.policy.guard import PartitionGuard, Untold
from gateway.venues.credentials import Credentials, Keyring
from schemas import VenueName
from schemas.targets import LaneKey


class LaneServer:
    """Serves all lanes of one partition that have something to do; an idle one is forgotten."""

    def __init__(
        self,
        *,
        policies: Mapping[VenueName, LanePolicy],
        callers: Mapping[VenueName, VenueCaller],
        accounts: Keyring,
        clock: Clock,
        fence: Fence,
        is_crowded: Callable[[VenueName], bool],
        is_expired: Callable[[Command], bool],
        tell: Callable[[Tell], None],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        observer: Observer,
        rails: PartitionGuard | None = None,
    ) -> None:
        """Take the parts.

        Args:
            policies: what the settings say of a venue's lanes.
            callers: the venues.
            accounts: the keys.
            clock: the time.
            fence: whether calls can start now.
            is_crowded: whether so much waits for a venue that no more may where it stalls.
            is_expired: whether a command's own date is past.
            tell: takes what is to be answered; `committed` is called once that is in the log.
            spawn: runs a call to its end, or until the partition is lost.
            observer: is told of retries and bugs.
            rails: what the policy says of a command before its call; None: nothing.
        """
        self._policies = policies
        self._callers = callers
        self._accounts = accounts
        self._clock = clock
        self._fence = fence
        self._is_crowded = is_crowded
        self._is_expired = is_expired
        self._tell = tell
        self._spawn = spawn
        self._observer = observer
        self._rails = rails
        self._called_at = 0.0
        self._read_backs = ReadBacks(
            callers=callers, accounts=accounts, clock=clock, fence=fence, spawn=spawn, observer=observer
        )
        self._lanes: dict[LaneKey, Lane] = {}
        self._turns: dict[LaneKey, Turn] = {}
        self._permits: dict[LaneKey, CallPermit] = {}
        self._alarms: Alarms[LaneKey] = Alarms(clock, self._ring)
        self._unleased: dict[LaneKey, None] = {}  # in the order in which they came
        self._lease_timer: asyncio.TimerHandle | None = None
        self._shortest_call = min((caller.settings.call_timeout for caller in callers.values()), default=0.0)
        self._idle = asyncio.Event()

    @property
    def called_at(self) -> float:
        """No call made here reaches a venue later than that, in wall seconds."""
        return max(self._called_at, self._read_backs.called_at)

    def __len__(self) -> int:
        return len(self._lanes)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    def lane(self, key: LaneKey) -> Lane:
        """The lane, made if nothing of it is known; `advance` it after every fact."""
        if key not in self._lanes:
            self._lanes[key] = Lane(key, self._policies[key[0]])
        return self._lanes[key]

    def advance(self, lane: Lane) -> None:  # noqa: C901 - a case a step
        """Do what the lane wants until it waits for something."""
        caller = self._callers[lane.key[0]]
        if lane.key in self._permits and self._permits[lane.key].permit.is_frozen():
            self._give_up(lane)
        while True:
            may_call = self._fence.may_set(caller.settings.call_timeout)
            match step := lane.next(self._clock.monotonic(), may_call=may_call):
                case Rest():
                    self._rest(lane, step)
                    return
                case Tell():
                    self._tell(step)
                case GiveUp():
                    self._give_up(lane)
                case Obtain(command):
                    self._obtain(lane, command, caller)
                case Send(command):
                    if self._begin(lane, command, caller):
                        return
                case Look(command):
                    self._read_backs.begin(command, lambda value: self._found(lane, value))
                    return

    def forbid(self) -> None:
        """The policy changed: tell who waits and may not go any more."""
        rails = self._rails
        if rails is None:
            return
        for lane in list(self._lanes.values()):
            lane.forbid(lambda command, is_first: rails.again(command.command, is_first=is_first))
            self.advance(lane)

    def committed(self, key: LaneKey, offset: int) -> Lane | None:
        """An answer of this lane is in the log; the lane to `advance`."""
        lane = self._lanes.get(key)
        if lane is not None:
            lane.committed(offset)
        return lane

    def is_quiet(self) -> bool:
        """Whether no lane has a call under way, or one of unknown outcome behind it."""
        now = self._clock.monotonic()
        return all(lane.is_quiet(now) for lane in self)

    async def idle(self) -> None:
        """Wait until nothing is at the venue and nothing that was there is untold; sensible once no call may start."""
        while any(lane.is_busy for lane in self):
            self._idle.clear()
            await self._idle.wait()

    def close(self) -> None:
        """Give everything back: nothing is served any more."""
        self._alarms.close()
        self._read_backs.close()
        if self._lease_timer is not None:
            self._lease_timer.cancel()
        for turn in self._turns.values():
            turn.leave()
        for permit in self._permits.values():
            permit.give_back()

    def _ring(self, key: LaneKey) -> None:
        lane = self._lanes.get(key)
        if lane is not None:
            self.advance(lane)

    def _rest(self, lane: Lane, rest: Rest) -> None:
        if rest.until < inf:
            self._alarms.set(lane.key, rest.until)
        else:
            self._alarms.drop(lane.key)
        if rest.reason == "lease":
            self._unleased[lane.key] = None
            if self._lease_timer is None:
                self._lease_timer = asyncio.get_running_loop().call_later(NO_LEASE_PAUSE, self._look_at_lease)
        if rest.reason == "nothing" and lane.is_idle:
            del self._lanes[lane.key]
            self._unleased.pop(lane.key, None)
        if not lane.is_busy:
            self._idle.set()

    def _look_at_lease(self) -> None:
        self._lease_timer = None
        if self._fence.may_set(self._shortest_call):
            unleased, self._unleased = self._unleased, {}
            for key in unleased:
                self._ring(key)
        elif self._unleased:
            self._lease_timer = asyncio.get_running_loop().call_later(NO_LEASE_PAUSE, self._look_at_lease)

    def _obtain(self, lane: Lane, command: Command, caller: VenueCaller) -> None:
        account = command.command.account
        try:
            call = caller.venue.set_leverage(command.command)
            if self._clock.monotonic() + caller.estimate(account, call) > command.deadline:
                lane.has_no_chance()
                return
            turn = caller.turn(account, call, may_wait=lambda: not self._is_crowded(lane.key[0]))
            result = turn.start(lambda result: self._turn_came(lane, result))
        except Exception as error:  # noqa: BLE001 - a bug must not take the other lanes down, nor this command's answer
            self._failed(lane, command, error)
            return
        if result is None:
            self._turns[lane.key] = turn
            lane.in_line()
        else:
            self._take(lane, result)

    def _turn_came(self, lane: Lane, result: TurnResult) -> None:
        del self._turns[lane.key]
        self._take(lane, result)
        self.advance(lane)

    def _take(self, lane: Lane, result: TurnResult) -> None:
        match result:
            case CallPermit():
                self._permits[lane.key] = result
                lane.obtained(self._clock.monotonic())
            case LimitFrozenError():
                lane.left()  # whoever can still make it joins the line again, and who cannot is told now
            case _:
                lane.has_no_chance()

    def _give_up(self, lane: Lane) -> None:
        turn, permit = self._turns.pop(lane.key, None), self._permits.pop(lane.key, None)
        if turn is not None:
            turn.leave()
        if permit is not None:
            permit.give_back()
        lane.left()

    def _begin(self, lane: Lane, command: Command, caller: VenueCaller) -> bool:
        """Start the call, if nothing speaks against it now."""
        permit = self._permits.pop(lane.key)
        try:
            has_begun = self._start(lane, command, caller, permit)
        except Exception as error:  # noqa: BLE001 - a bug must not take the other lanes down, nor this command's answer
            self._failed(lane, command, error)
            has_begun = False
        if not has_begun:
            permit.give_back()
        return has_begun

    def _start(self, lane: Lane, command: Command, caller: VenueCaller, permit: CallPermit) -> bool:
        """Whether something is under way now; else the lane was told why not."""
        credentials = self._accounts.credentials(command.venue, command.command.account)
        verdict = None if self._rails is None else self._rails.verdict(command.command)
        if self._is_expired(command):
            lane.has_no_chance()
        elif isinstance(credentials, Refusal):
            lane.refused(credentials)
        elif isinstance(verdict, Refusal):
            lane.refused(verdict)
        elif verdict is not None:
            permit.give_back()
            self._read_backs.begin(command, lambda value: self._asked(lane, command, verdict, value))
            return True
        else:
            self._spawn(self._send(lane, command, caller, permit, credentials))
            return True
        return False

    def _failed(self, lane: Lane, command: Command, error: Exception) -> None:
        """A bug before anything was sent."""
        self._observer.failed(command, error)
        lane.refused(Refusal(reason="outcome_unknown", message=BUG))

    def _found(self, lane: Lane, value: Applied | None) -> None:
        lane.found(value)
        self.advance(lane)

    def _asked(self, lane: Lane, command: Command, untold: Untold, value: Applied | None) -> None:
        """What the lane has is known, as the policy hangs on it; who cannot be told refuses."""
        try:
            if value is None or value.leverage is None:
                lane.refused(untold.refuse())
            else:
                untold.told(value.leverage)
                lane.asked()
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(lane, command, error)
        self.advance(lane)

    def _is_allowed(self, command: Command) -> bool:
        """Whether the policy, which may have changed while connecting, still lets a call begin."""
        return self._rails is None or self._rails.allows(command.command)

    async def _send(
        self, lane: Lane, command: Command, caller: VenueCaller, permit: CallPermit, credentials: Credentials
    ) -> None:
        begun = self._clock.monotonic()
        try:
            outcome = await self._call(command, caller, permit, credentials)
            now, is_expired = self._clock.monotonic(), self._is_expired(command)
            retry = lane.sent(outcome, begun=begun, now=now, is_expired=is_expired)
            if retry is not None:
                self._observer.retried(command, retry)
        except Exception as error:  # noqa: BLE001 - a bug must not take the other lanes down, nor this command's answer
            self._observer.failed(command, error)
            lane.broke(begun=begun)
        finally:
            permit.give_back()
        self.advance(lane)

    async def _call(
        self, command: Command, caller: VenueCaller, permit: CallPermit, credentials: Credentials
    ) -> Outcome | None:
        message, call_timeout = command.command, caller.settings.call_timeout
        self._called_at = max(self._called_at, self._clock.wall() + call_timeout)
        outcome = await caller.send(
            permit,
            message.account,
            caller.venue.set_leverage(message),
            credentials,
            lambda reply: caller.venue.classify(message, reply),
            may_send=lambda: self._fence.may_set(call_timeout) and self._is_allowed(command),
            expires_at=None if message.expires_at is None else message.expires_at.timestamp(),
            about=command,
        )
        if isinstance(outcome, ClockSkewed) or caller.clock_offset is None:
            await caller.measure_clock()
        return outcome
