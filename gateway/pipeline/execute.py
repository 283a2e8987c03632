"""The attempts: serve one lane until nothing waits in it, each command to its one answer.

It reads: wait for a turn, take the newest command, call, resolve doubt, again if that may help (tenacity), settle.
A command is sent only when every older one of its lane has its committed answer, superseded ones too: a crash in
between would let the next owner repeat an older value after a newer one. So of what a predecessor left in a lane only
the oldest may have been sent.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from tenacity import AsyncRetrying, RetryCallState, retry_if_result

from gateway.calls.venue_caller import CallPermit, StalledError, VenueCaller
from gateway.clock import Clock
from gateway.limits.permits import LimitFrozenError, LimitLoweredError
from gateway.outcomes import Ambiguous, Applied, ClockSkewed, Outcome, Refusal, Throttled, Unavailable
from gateway.pipeline import answers
from gateway.pipeline.answers import Answer
from gateway.pipeline.command import Command
from gateway.pipeline.doubt import NO_LEASE_PAUSE, Accounts, Doubts, cleared
from gateway.pipeline.lanes import Lane
from gateway.pipeline.observer import Observer
from schemas import VenueName

TRANSIENT = (Throttled, Unavailable, Ambiguous, ClockSkewed)
GIVING_WAY = 0.05  # seconds; a few commits, so that a lane with a newer command every other moment is served too
STALE_TURN = 1.0  # seconds; a commit takes a hundredth of it, unless the broker is in trouble
SLOW_FACTOR = 10  # a venue that says "minutes" is asked ten times less often
CROWDED = "as many commands wait for it already as there is room for"
BUG = "an error inside the gateway; see its log"


class Attempt(NamedTuple):
    """What one turn of a lane came to, and for which command."""

    incoming: Command
    result: Outcome | Refusal


class Executor:
    """Serves the lanes of one partition."""

    def __init__(
        self,
        *,
        topic: str,
        calls: Mapping[VenueName, VenueCaller],
        accounts: Accounts,
        clock: Clock,
        jitter: random.Random,
        may_set: Callable[[float], bool],
        may_read: Callable[[float], bool],
        is_crowded: Callable[[VenueName], bool],
        settle: Callable[[Answer], asyncio.Future[None]],
        observer: Observer,
    ) -> None:
        """Take the parts.

        Args:
            topic: the commands'.
            calls: the venues.
            accounts: the keys.
            clock: the time.
            jitter: for back-offs.
            may_set: whether a call that may take so many seconds can start now.
            may_read: the same of one that finishes what was begun.
            is_crowded: whether so much waits for a venue that no more may where it stalls.
            settle: takes an answer; awaited until it is committed.
            observer: is told of retries and bugs.
        """
        self._topic = topic
        self._calls = calls
        self._accounts = accounts
        self._clock = clock
        self._jitter = jitter
        self._may_set = may_set
        self._is_crowded = is_crowded
        self._settle = settle
        self._observer = observer
        self._doubts = Doubts(accounts=accounts, clock=clock, may_read=may_read, observer=observer)

    async def answer_next(self, lane: Lane) -> None:
        """Bring the lane's next command to its committed answer."""
        attempt = await self._attempts(lane)
        if not isinstance(attempt.result, Applied) and attempt.incoming.doubtful:
            found = await self._doubts.look_when_settled(lane, attempt.incoming, self._calls[lane.venue])
            if found is not None:
                attempt = Attempt(attempt.incoming, cleared(attempt.incoming, attempt.result, found))
        # A call that was cut off may still arrive, and a later owner does not wait for those of answered commands.
        await asyncio.sleep(lane.not_before - self._clock.monotonic())
        await self._settle(self._conclude(attempt))
        lane.finish()

    def supersede(self, lane: Lane) -> None:
        """Where latest wins, answer all that wait behind a newer command, without a call."""
        if not self._calls[lane.venue].settings.latest_wins:
            return
        for older in lane.supersede():
            lane.answered = self._settle(self._refused(older, _superseded(lane)))

    async def _attempts(self, lane: Lane) -> Attempt:
        calls = self._calls[lane.venue]

        retrying = AsyncRetrying(
            retry=retry_if_result(lambda attempt: isinstance(attempt.result, TRANSIENT)),
            stop=lambda state: self._is_last(calls, state),
            wait=lambda state: self._back_off(calls, state),
            before_sleep=lambda state: self._again(lane, state),
            retry_error_callback=_attempt,
            sleep=asyncio.sleep,
        )
        return await retrying(self._attempt, lane, calls)

    async def _attempt(self, lane: Lane, calls: VenueCaller) -> Attempt:
        turn: CallPermit | None = None
        try:
            if self._is_overtaken(lane, calls) and (told := await self._ask_of_overtaken(lane, calls)):
                return told
            turn = await self._turn(lane, calls)
            if turn is not None and not await self._is_still_next(lane, turn, calls):
                turn.give_back()
                turn = None
                return await self._attempt(lane, calls)
            incoming = lane.running or lane.take()
            return Attempt(incoming, await self._use(turn, lane, incoming, calls))
        except asyncio.CancelledError:
            if turn is not None:
                turn.give_back()
            raise
        except Exception as error:  # noqa: BLE001 - a bug must not take the other lanes down, nor this command's answer
            incoming = lane.running or lane.take()
            if incoming.attempts:
                incoming.doubtful = True
                lane.not_before = max(lane.not_before, self._clock.monotonic() + calls.settles_within)
            if turn is not None:
                turn.give_back()
            self._observer.failed(incoming, error)
            return Attempt(incoming, Refusal(reason="outcome_unknown", message=BUG))

    async def _is_still_next(self, lane: Lane, turn: CallPermit, calls: VenueCaller) -> bool:
        """Take the command whose turn it is once all older ones have their answers; False where it must wait again."""
        begun = self._clock.monotonic()
        await _give_way(lane)
        if self._is_overtaken(lane, calls):
            return False
        lane.take()
        await _older_answered(lane)
        if self._clock.monotonic() - begun <= STALE_TURN and not turn.permit.is_frozen():
            return True
        lane.put_back()
        self.supersede(lane)
        return False

    def _is_overtaken(self, lane: Lane, calls: VenueCaller) -> bool:
        return calls.settings.latest_wins and lane.is_overtaken

    async def _ask_of_overtaken(self, lane: Lane, calls: VenueCaller) -> Attempt | None:
        """What became of a command that a predecessor may have sent and nobody wants any more; None: send it again."""
        await asyncio.sleep(lane.not_before - self._clock.monotonic())  # before it runs: so whoever leaves can leave
        incoming = lane.take()
        incoming.asked = True
        found = await self._doubts.look_when_settled(lane, incoming, calls)
        if found is None:
            lane.put_back()
            return None
        return Attempt(incoming, cleared(incoming, _superseded(lane), found))

    async def _turn(self, lane: Lane, calls: VenueCaller) -> CallPermit | None:
        """Wait for the lane's turn; None as soon as the command that would go cannot go in time."""
        while True:
            try:
                return await self._turn_in_time(lane, calls)
            except LimitFrozenError:
                continue  # whoever can still make it joins the line again, and who cannot is told now
            except (LimitLoweredError, StalledError):
                return None
            except TimeoutError:
                if _head(lane).deadline <= self._clock.monotonic():  # else a newer one took its place just now
                    return None

    async def _turn_in_time(self, lane: Lane, calls: VenueCaller) -> CallPermit | None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as timeout:

            def follow() -> None:
                if not timeout.expired():
                    timeout.reschedule(loop.time() + _head(lane).deadline - self._clock.monotonic())

            lane.changed = follow
            try:
                follow()
                pause = lane.not_before - self._clock.monotonic()
                if pause > 0:
                    await asyncio.sleep(pause)
                await _older_answered(lane)  # here too, so that no permit is held while the broker is away
                return await self._leased_turn(lane, calls)
            finally:
                lane.changed = None

    async def _leased_turn(self, lane: Lane, calls: VenueCaller) -> CallPermit | None:
        while True:
            head = _head(lane)
            account, call = head.command.account, calls.venue.set_leverage(head.command)
            if self._clock.monotonic() + calls.estimate(account, call) > head.deadline:
                return None
            turn = await calls.turn(account, call, may_wait=lambda: not self._is_crowded(lane.venue))
            if self._may_set(calls.settings.call_timeout):
                return turn
            turn.give_back()
            await asyncio.sleep(NO_LEASE_PAUSE)

    async def _use(
        self, turn: CallPermit | None, lane: Lane, incoming: Command, calls: VenueCaller
    ) -> Outcome | Refusal:
        command = incoming.command
        credentials = self._accounts.credentials(incoming.venue, command.account)
        if turn is None or self._is_expired(incoming):
            return self._late(incoming, calls, turn)
        if isinstance(credentials, Refusal):
            turn.give_back()
            return credentials
        begun = self._clock.monotonic()
        incoming.attempts += 1
        outcome = await calls.send(
            turn,
            command.account,
            calls.venue.set_leverage(command),
            credentials,
            lambda answer: calls.venue.classify(command, answer),
            may_send=lambda: self._may_set(calls.settings.call_timeout),
            expires_at=None if command.expires_at is None else command.expires_at.timestamp(),
        )
        if _was_not_sent(outcome) and self._is_expired(incoming) and incoming.attempts == 1:
            incoming.attempts = 0  # connecting took until its deadline
            return self._late(incoming, calls, None)
        if outcome is None:
            incoming.attempts -= 1
            return Unavailable(message="not sent: this instance is not sure to have the partition still")
        incoming.is_unserved = isinstance(outcome, Ambiguous | Unavailable)
        if isinstance(outcome, Ambiguous):
            incoming.doubtful = True
            lane.not_before = max(lane.not_before, begun + calls.settles_within)  # until then it may still take effect
            return await self._doubts.read_back(lane, incoming, calls) or outcome
        return await self._resolve(incoming, calls, outcome)

    async def _resolve(self, incoming: Command, calls: VenueCaller, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Applied):
            incoming.doubtful = False
        if isinstance(outcome, ClockSkewed):
            await calls.measure_clock()
        return outcome

    def _is_expired(self, incoming: Command) -> bool:
        expires_at = incoming.command.expires_at
        return expires_at is not None and expires_at.timestamp() <= self._calls[incoming.venue].wall()

    def _late(self, incoming: Command, calls: VenueCaller, turn: CallPermit | None) -> Refusal:
        if turn is not None:
            turn.give_back()
        command = incoming.command
        if self._is_expired(incoming) and not incoming.attempts:
            return Refusal(reason="expired", message=f"expired at {command.expires_at}, before it could be sent")
        retry_at = self._free_at(incoming)
        if incoming.is_unserved:
            message = "the venue did not carry it out, and there is no time to try again"
            later = retry_at if retry_at is not None and retry_at > self._clock.wall() else None
            return Refusal(reason="venue_unavailable", message=message, retry_at=later)
        left = incoming.deadline - self._clock.monotonic()
        in_time = left > 0 and retry_at is not None and retry_at - self._clock.wall() <= left
        if calls.is_silent(command.account):
            message = (
                f"the venue does not answer; {CROWDED}" if in_time else "no answer from the venue until the deadline"
            )
            return Refusal(reason="venue_unavailable", message=message, retry_at=retry_at)
        message = f"the venue has us pause; {CROWDED}" if in_time else "no budget before the deadline"
        return Refusal(reason="rate_limited", message=message, retry_at=retry_at)

    def _free_at(self, incoming: Command) -> float | None:
        """When limits and breaker would let a call like this one go, in wall seconds; None where no window holds it."""
        calls, command = self._calls[incoming.venue], incoming.command
        try:
            return self._clock.wall() + calls.estimate(command.account, calls.venue.set_leverage(command))
        except ValueError:
            return None

    def _conclude(self, attempt: Attempt) -> Answer:
        incoming, result = attempt
        now = self._clock.wall()
        if isinstance(result, Applied):
            return answers.changed(incoming, result, topic=self._topic, now=now)
        if not isinstance(result, Refusal):
            return answers.rejected(incoming, result, topic=self._topic, now=now, free_at=self._free_at(incoming))
        if incoming.doubtful:
            message = f"it may have been applied, and then: {result.message}"
            result = Refusal(reason="outcome_unknown", message=message, retry_at=result.retry_at)
        return self._refused(incoming, result)

    def _refused(self, incoming: Command, refusal: Refusal) -> Answer:
        return answers.refused(incoming, refusal, topic=self._topic, now=self._clock.wall())

    def _is_last(self, calls: VenueCaller, state: RetryCallState) -> bool:
        incoming = _attempt(state).incoming
        return (
            incoming.attempts >= calls.settings.max_attempts
            or self._clock.monotonic() + state.upcoming_sleep >= incoming.deadline
        )

    def _back_off(self, calls: VenueCaller, state: RetryCallState) -> float:
        """Full jitter, the venue's own hint first; a limit's pause is waited for in the line for its permit."""
        settings = calls.settings
        slow = 1
        match _attempt(state).result:
            case Throttled():
                return 0.0
            case ClockSkewed() if state.attempt_number == 1:
                return 0.0
            case Unavailable(retry_after=float() as hinted):
                return hinted
            case Unavailable(slow=True):
                slow = SLOW_FACTOR
            case _:
                pass
        return self._jitter.uniform(
            0, slow * min(settings.backoff_cap, settings.backoff_base * 2 ** (state.attempt_number - 1))
        )

    def _again(self, lane: Lane, state: RetryCallState) -> None:
        incoming, result = _attempt(state)
        if not isinstance(result, Refusal):
            self._observer.retried(incoming, result, state.upcoming_sleep)
        lane.put_back()
        self.supersede(lane)


async def _older_answered(lane: Lane) -> None:
    """Wait until all that were superseded or refused in the lane by now have their committed answers."""
    if lane.answered is not None:
        await asyncio.wait([lane.answered])  # unlike awaiting it, this does not cancel it


async def _give_way(lane: Lane) -> None:
    """Let newer commands take the place of the next while older answers are on their way, but not for ever."""
    with suppress(TimeoutError):
        async with asyncio.timeout(GIVING_WAY):
            while lane.answered is not None and not lane.answered.done():
                await _older_answered(lane)


def _was_not_sent(outcome: Outcome | None) -> bool:
    """Whether nothing of the call went on the wire: a venue's own no has a status."""
    return outcome is None or (isinstance(outcome, Unavailable) and outcome.http_status is None)


def _superseded(lane: Lane) -> Refusal:
    message = f"a newer command for {lane.key[2]} came before this one was sent"
    return Refusal(reason="superseded", message=message, superseded_by=lane.waiting[-1].command.command_id)


def _head(lane: Lane) -> Command:
    if lane.head is None:
        raise RuntimeError("a lane with nothing waiting has no turn")
    return lane.head


def _attempt(state: RetryCallState) -> Attempt:
    if state.outcome is None:
        raise RuntimeError("tenacity asks before there is an outcome")
    return state.outcome.result()
