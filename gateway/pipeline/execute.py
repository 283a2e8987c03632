"""The attempts: serve one lane until nothing waits in it, each command to its one answer.

It reads: wait for a turn, take the newest command, call, resolve doubt, again if that may help (tenacity), settle.
A lane's next command starts only when its predecessor's answer is committed: a crash in between would let the next
owner repeat the older value after the newer one.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol

from tenacity import AsyncRetrying, RetryCallState, retry_if_result

from gateway.clock import Clock
from gateway.limits.permits import LimitLoweredError
from gateway.outcomes import Ambiguous, Applied, ClockSkewed, Outcome, Throttled, Unauthorised, Unavailable
from gateway.pipeline import answers
from gateway.pipeline.answers import Answer, Refusal
from gateway.pipeline.call import Turn, VenueCalls
from gateway.pipeline.lanes import Lane
from gateway.pipeline.observer import Observer
from gateway.pipeline.record import Incoming
from gateway.venues.credentials import Credentials
from schemas import VenueName

TRANSIENT = (Throttled, Unavailable, Ambiguous, ClockSkewed)
NO_LEASE_PAUSE = 0.1  # seconds until a lane looks again whether the lease was renewed
SLOW_FACTOR = 10  # a venue that says "minutes" is asked ten times less often


class Accounts(Protocol):
    """Whose keys sign."""

    def credentials(self, venue: VenueName, account: str) -> Credentials | Refusal:
        """The account's keys, or why it is stopped at this venue."""
        ...

    def stop(self, venue: VenueName, account: str, message: str) -> None:
        """The venue does not accept the keys: no further call until they change."""
        ...


class Attempt(NamedTuple):
    """What one turn of a lane came to, and for which command."""

    incoming: Incoming
    result: Outcome | Refusal


class Executor:
    """Serves the lanes of one partition."""

    def __init__(
        self,
        *,
        topic: str,
        calls: Mapping[VenueName, VenueCalls],
        accounts: Accounts,
        clock: Clock,
        jitter: random.Random,
        may_call: Callable[[float], bool],
        settle: Callable[[Answer], Awaitable[None]],
        observer: Observer,
    ) -> None:
        """`may_call(timeout)`: whether a call may start now; `settle` takes answers, awaited until committed."""
        self._topic = topic
        self._calls = calls
        self._accounts = accounts
        self._clock = clock
        self._jitter = jitter
        self._may_call = may_call
        self._settle = settle
        self._observer = observer

    async def answer_next(self, lane: Lane) -> None:
        """Bring the lane's next command to its committed answer."""
        answer = await self._answer(lane)
        await self._settle(answer)
        lane.finish()

    def supersede(self, lane: Lane) -> None:
        """Answer all that wait behind a newer command; they need no call, and nothing waits for their commit."""
        for older in lane.supersede():
            newest = lane.waiting[-1].command
            message = f"a newer command for {older.command.target.lane} came before this one was sent"
            refusal = Refusal(reason="superseded", message=message, superseded_by=newest.command_id)
            self._settle(self._refused(older, refusal))

    async def _answer(self, lane: Lane) -> Answer:
        calls = self._calls[lane.venue]

        retrying = AsyncRetrying(
            retry=retry_if_result(lambda attempt: isinstance(attempt.result, TRANSIENT)),
            stop=lambda state: self._is_last(calls, state),
            wait=lambda state: self._back_off(calls, state),
            before_sleep=lambda state: self._again(lane, state),
            retry_error_callback=_attempt,
            sleep=asyncio.sleep,
        )
        attempt: Attempt = await retrying(self._attempt, lane, calls)
        return self._conclude(attempt)

    async def _attempt(self, lane: Lane, calls: VenueCalls) -> Attempt:
        try:
            turn = await self._turn(lane, calls)
        except (TimeoutError, LimitLoweredError):
            incoming = lane.take()
            return Attempt(incoming, self._late(incoming, calls))
        incoming = lane.take()
        try:
            return Attempt(incoming, await self._call(incoming, calls, turn))
        except Exception as error:  # noqa: BLE001 - a bug must not take the other lanes down, nor this command's answer
            self._observer.failed(incoming, error)
            return Attempt(
                incoming, Refusal(reason="outcome_unknown", message="an error inside the gateway; see its log")
            )

    async def _turn(self, lane: Lane, calls: VenueCalls) -> Turn:
        """Wait for the lane's turn, at most until the deadline of the command that would go; TimeoutError then."""
        head = lane.head
        if head is None:
            raise RuntimeError("a lane with nothing waiting has no turn")
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as timeout:

            def follow() -> None:
                if lane.head is not None and not timeout.expired():
                    timeout.reschedule(loop.time() + lane.head.deadline - self._clock.monotonic())

            lane.changed = follow
            try:
                follow()
                await asyncio.sleep(max(0.0, lane.not_before - self._clock.monotonic()))
                return await self._leased_turn(lane.head or head, calls)
            finally:
                lane.changed = None

    async def _leased_turn(self, head: Incoming, calls: VenueCalls) -> Turn:
        call = calls.venue.set_leverage(head.command)
        while True:
            if self._clock.monotonic() + calls.estimate(head.command.account, call) > head.deadline:
                raise TimeoutError
            turn = await calls.turn(head.command.account, call)
            if self._may_call(calls.settings.call_timeout):
                return turn
            turn.unused()
            await asyncio.sleep(NO_LEASE_PAUSE)

    async def _call(self, incoming: Incoming, calls: VenueCalls, turn: Turn) -> Outcome | Refusal:
        command = incoming.command
        credentials = self._accounts.credentials(incoming.venue, command.account)
        late = command.expires_at is not None and command.expires_at.timestamp() <= self._clock.wall()
        if late or isinstance(credentials, Refusal):
            turn.unused()
            return self._late(incoming, calls) if not isinstance(credentials, Refusal) else credentials
        incoming.attempts += 1
        call = calls.venue.set_leverage(command)
        outcome = await calls.send(
            turn, command.account, call, credentials, lambda answer: calls.venue.classify(command, answer)
        )
        return await self._resolve(incoming, calls, credentials, outcome)

    async def _resolve(
        self, incoming: Incoming, calls: VenueCalls, credentials: Credentials, outcome: Outcome
    ) -> Outcome:
        if isinstance(outcome, Ambiguous):
            incoming.doubtful = True
            return await self._read_back(incoming, calls, credentials, outcome)
        if isinstance(outcome, Applied):
            incoming.doubtful = False
        if isinstance(outcome, Unauthorised):
            self._accounts.stop(incoming.venue, incoming.command.account, outcome.message)
        if isinstance(outcome, ClockSkewed):
            await self._measure_clock(calls)
        return outcome

    async def _read_back(
        self, incoming: Incoming, calls: VenueCalls, credentials: Credentials, unknown: Ambiguous
    ) -> Outcome:
        call = calls.venue.read_back(incoming.command)
        if call is None:
            return unknown
        patience = max(calls.settings.call_timeout, incoming.deadline - self._clock.monotonic())
        try:
            async with asyncio.timeout(patience):
                turn = await calls.turn(incoming.command.account, call)
        except TimeoutError:
            return unknown
        found = await calls.send(
            turn,
            incoming.command.account,
            call,
            credentials,
            lambda answer: calls.venue.classify_read_back(incoming.command, answer),
        )
        if not isinstance(found, Applied):
            return unknown
        incoming.doubtful = False
        if found.leverage == incoming.leverage:
            return found
        return Unavailable(message=f"not applied: the venue still has {found.leverage}. {unknown.message}".strip())

    async def _measure_clock(self, calls: VenueCalls) -> None:
        try:
            async with asyncio.timeout(calls.settings.call_timeout):
                await calls.measure_clock()
        except TimeoutError:
            return

    def _late(self, incoming: Incoming, calls: VenueCalls) -> Refusal:
        command = incoming.command
        if incoming.doubtful:
            return Refusal(reason="outcome_unknown", message="a call's outcome stayed unknown until the deadline")
        if (
            command.expires_at is not None
            and command.expires_at.timestamp() <= self._clock.wall()
            and not incoming.attempts
        ):
            return Refusal(reason="expired", message=f"expired at {command.expires_at}, before it could be sent")
        wait = calls.estimate(command.account, calls.venue.set_leverage(command))
        retry_at = self._clock.wall() + wait
        if calls.breaker(command.account).is_open(self._clock.monotonic()):
            return Refusal(
                reason="venue_unavailable", message="no answer from the venue until the deadline", retry_at=retry_at
            )
        return Refusal(reason="rate_limited", message="no budget before the deadline", retry_at=retry_at)

    def _conclude(self, attempt: Attempt) -> Answer:
        incoming, result = attempt
        match result:
            case Refusal():
                return self._refused(incoming, result)
            case Applied(leverage=None):
                return answers.changed(incoming, result, topic=self._topic, now=self._clock.wall())
            case Applied(leverage=leverage) if leverage == incoming.leverage:
                return answers.changed(incoming, result, topic=self._topic, now=self._clock.wall())
            case _:
                return answers.rejected(incoming, result, topic=self._topic, now=self._clock.wall())

    def _refused(self, incoming: Incoming, refusal: Refusal) -> Answer:
        return answers.refused(incoming, refusal, topic=self._topic, now=self._clock.wall())

    def _is_last(self, calls: VenueCalls, state: RetryCallState) -> bool:
        incoming = _attempt(state).incoming
        return (
            incoming.attempts >= calls.settings.max_attempts
            or self._clock.monotonic() + state.upcoming_sleep >= incoming.deadline
        )

    def _back_off(self, calls: VenueCalls, state: RetryCallState) -> float:
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


def _attempt(state: RetryCallState) -> Attempt:
    if state.outcome is None:
        raise RuntimeError("tenacity asks before there is an outcome")
    return state.outcome.result()
