"""One venue's calls: a turn (`turns`), then sign, send, classify, and what the answer teaches.

The lane decides which command is called and how often; here every call pays, and every answer feeds back.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

from msgspec import structs

from gateway.calls.breaker import BreakerPolicy
from gateway.calls.breaker_lines import BreakerGate, BreakerLines
from gateway.calls.observer import Called, CallObserver, CallTimes
from gateway.calls.pauses import LimitScope, Pauses
from gateway.calls.redaction import without_secrets
from gateway.calls.slots import Slots
from gateway.calls.turns import CallPermit, Lines, Turn
from gateway.clock import Clock
from gateway.limits.permits import LimitFrozenError, Permits
from gateway.outcomes import Ambiguous, Applied, KeyRejection, Outcome, Rejection, Throttled, Unavailable
from gateway.settings.tree import VenueSettings
from gateway.transport.messages import LARGEST_ANSWER_BYTES, LIMITED, WITHDRAWN, HttpReply, HttpRequest
from gateway.venues.credentials import Credentials
from gateway.venues.reply import LONGEST_WAIT, banned_until, retry_after
from gateway.venues.venue import Call, Venue
from schemas import VenueName

BANNED = 418
LONGEST_WINDOW = 60.0  # seconds; for calls that no limit of ours counts
CLOCK_SLACK = 1.0  # seconds; some venues tell their clock in whole seconds, and a call before a ban ends prolongs it


class Sender(Protocol):
    """A venue's HTTP session, or a simulated network."""

    async def send(self, request: HttpRequest) -> HttpReply | Unavailable | Ambiguous:
        """Send once, within the venue's call timeout."""
        ...


class VenueTime(Protocol):
    """The venue's clock as far as we know it."""

    @property
    def offset(self) -> float | None:
        """Seconds that it is ahead of our wall clock; None where nobody has measured it."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 UTC by the venue's clock."""
        ...

    def timestamp_ms(self) -> int:
        """Milliseconds since 1970 UTC to sign with: no more than the venue's clock shows."""
        ...

    async def measure(self, ask: Callable[[], Awaitable["PublicReply | None"]]) -> bool:
        """Measure the venue's clock by what `ask` brings; False where that failed."""
        ...


class Keys(Protocol):
    """What calls teach about the keys that signed them."""

    def user(self, venue: VenueName, account: str) -> str:
        """The name under which the venue's limits count this account: accounts with one key are one user."""
        ...

    def accepted(self, venue: VenueName, account: str, credentials: Credentials) -> None:
        """The venue took the keys that signed a call."""
        ...

    def refused(self, venue: VenueName, account: str, credentials: Credentials, message: str) -> None:
        """The venue did not take the keys that signed a call."""
        ...


class PublicReply(NamedTuple):
    """A whole answer to an unsigned call, and when it was asked for and came, in monotonic seconds."""

    reply: HttpReply
    begun: float
    ended: float


class _PublicGate:
    """What holds back a call that no limit counts: the ban of our address."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.banned_until = 0.0

    def opens_at(self, now: float) -> float:
        return max(now, self.banned_until)

    def is_stalled(self) -> bool:
        return False

    def lets_pass(self, now: float) -> bool:
        return self.banned_until <= now

    def wait(self, go_on: Callable[[], None]) -> Callable[[], object]:
        return asyncio.get_running_loop().call_later(self.banned_until - self._clock.monotonic(), go_on).cancel


class VenueCaller:
    """All calls of this process to one venue.

    Attributes:
        breakers: between us and its accounts.
    """

    def __init__(
        self,
        venue: Venue,
        settings: VenueSettings,
        *,
        sender: Sender,
        venue_time: VenueTime,
        keys: Keys,
        permits: Permits,
        clock: Clock,
        max_in_flight: int,
        observer: CallObserver,
    ) -> None:
        self.venue = venue
        self.settings = settings
        self._sender = sender
        self._venue_time = venue_time
        self._keys = keys
        self._permits = permits
        self._clock = clock
        self._slots = Slots(max_in_flight)
        self._lines = Lines(venue.name, permits, self._slots, clock, observer)
        self._slots.narrow()  # until it answers it may have banned us, and nobody knows what an earlier life has spent
        self._observer = observer
        policy = BreakerPolicy(failures=settings.breaker_failures, reset=settings.breaker_reset)
        self.breakers = BreakerLines(policy, clock)
        self._pauses = Pauses()
        self._public = _PublicGate(clock)
        self._failures = 0  # in a row, of all accounts
        self._in_flight = 0

    @property
    def settles_within(self) -> float:
        """Seconds from sending a call after which it takes effect no more, whether it was answered or not.

        It may be on its way for as long as we wait for it, and at the venue for as long as that works on it.
        """
        ours = self.settings.settles_within
        return self.settings.call_timeout + (self.venue.settles_within if ours is None else ours)

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return self._in_flight

    @property
    def clock_offset(self) -> float | None:
        """Seconds that the venue's clock is ahead of our wall clock; None before it was measured."""
        return self._venue_time.offset

    def wall(self) -> float:
        """Seconds since 1970 UTC by the venue's clock, as far as we know it: what deadlines by date are judged by."""
        return self._venue_time.wall()

    def estimate(self, account: str, call: Call) -> float:
        """Seconds until a call that asks now would get its turn."""
        now = self._clock.monotonic()
        permit = self._permits.estimate(self.venue.name, self._user(account), call.costs)
        return max(permit, self.breakers.breaker(account).probe_at(now) - now)

    def assume_spent(self, account: str, until: float) -> None:
        """The account came from another instance, whose calls may count until then."""
        self._permits.assume_spent(self.venue.name, self._user(account), until)

    def is_stalled(self, account: str, call: Call) -> bool:
        """Whether calls like this one wait for a venue that does not answer or has banned us, rather than in turn."""
        frozen_until = self._permits.frozen_until(self.venue.name, self._user(account), call.costs)
        return self.is_silent(account) or frozen_until > self._clock.monotonic() + self.settings.call_timeout

    def is_silent(self, account: str) -> bool:
        """Whether the venue has not answered lately: this account, or as many calls in a row of all accounts."""
        return self.breakers.breaker(account).is_open or self._failures >= self.settings.breaker_failures

    def turn(self, account: str, call: Call, *, may_wait: Callable[[], bool] = lambda: True) -> Turn:
        """The way to one call; StalledError at its end where the venue stalls and `may_wait` says no."""
        gate = BreakerGate(self.breakers, account, lambda: not may_wait() and self.is_stalled(account, call))
        return Turn(self._lines, gate, account=account, user=self._user(account), costs=call.costs)

    async def send(
        self,
        turn: CallPermit,
        account: str,
        call: Call,
        credentials: Credentials,
        classify: Callable[[HttpReply], Outcome],
        *,
        may_send: Callable[[], bool] = lambda: True,
        expires_at: float | None = None,
        about: object = None,
    ) -> Outcome | None:
        """Sign, send once and say what became of it; None where it may not be sent any more, and nothing was.

        `may_send` is asked after the signature, and again when connected, as are limits and date: a ban may come, and a
        process that was stopped may find a connection that stands, and a time that is over.
        A process that is stopped after that sends, once it wakes up, what the venue refuses for its old timestamp.
        Nothing goes on the wire past `expires_at`, wall seconds of the venue's clock: a connection that is not there by
        then is given up. Nor does anything before that clock was read once: ours may be wrong by hours, and not every
        venue minds. `about` is for the observer.
        """
        begun = self._clock.monotonic()
        if self._venue_time.offset is None:
            turn.give_back()
            return None
        try:
            request = self.venue.sign(call, credentials, self._venue_time.timestamp_ms())
        except BaseException:
            turn.give_back()
            raise
        times = CallTimes(turn.wanted_at, turn.granted_at, begun, self._clock.monotonic())
        within = None if expires_at is None else expires_at - self.wall()

        def may_go() -> bool:
            is_late = expires_at is not None and expires_at <= self.wall()
            return not is_late and may_send() and not turn.permit.is_frozen()

        request = structs.replace(request, connect_within=within, may_send=may_go)
        if not may_go():
            turn.give_back()
            return None
        answer = await self._exchange(turn, request)
        if answer is WITHDRAWN:
            turn.give_back()
            return None
        if isinstance(answer, HttpReply):
            answer = without_secrets(answer, request, credentials)
        self._pay(turn, answer)
        outcome = classify(answer) if isinstance(answer, HttpReply) else answer
        if isinstance(answer, HttpReply) and not isinstance(outcome, Throttled):
            self._slots.widen()
        self._learn(account, call, outcome, begun)
        self._learn_of_keys(account, call, credentials, outcome)
        self._say(account, call, answer, outcome, times=times, about=about)
        return outcome

    async def _exchange(self, turn: CallPermit, request: HttpRequest) -> HttpReply | Unavailable | Ambiguous:
        self._in_flight += 1
        try:
            return await self._sender.send(request)
        except BaseException:
            turn.permit.given_up(self.settings.call_timeout)
            raise
        finally:
            self._in_flight -= 1
            turn.leave()

    async def measure_clock(self) -> bool:
        """Learn the venue's clock again, paid for like any call; False where that took too long or told nothing."""
        try:
            async with asyncio.timeout(self.settings.call_timeout):
                return await self._venue_time.measure(lambda: self._ask(self.venue.server_time(), LARGEST_ANSWER_BYTES))
        except TimeoutError:
            return False

    async def ask(self, call: Call, *, largest_answer_bytes: int) -> HttpReply | None:
        """Make a public call, paid for like any; None where there was no whole answer."""
        answer = await self._ask(call, largest_answer_bytes)
        return answer.reply if answer else None

    async def _ask(self, call: Call, largest_answer_bytes: int) -> PublicReply | None:
        turn = await self._public_turn(call)
        request = HttpRequest(
            method=call.method,
            target=call.target,
            headers={},
            largest_answer_bytes=largest_answer_bytes,
            may_send=lambda: not turn.permit.is_frozen(),
        )
        begun = self._clock.monotonic()
        try:
            answer = await self._sender.send(request)
            if answer is WITHDRAWN:
                turn.give_back()
                return None
            self._pay(turn, answer)
        finally:
            turn.permit.given_up(self.settings.call_timeout)
            turn.leave()
        limited = _limited(answer) if isinstance(answer, HttpReply) else None
        if limited is not None:
            self._rest("", call, limited, begun)
        elif isinstance(answer, HttpReply):
            self._slots.widen()
        times = CallTimes(turn.wanted_at, turn.granted_at, begun, begun)
        self._say("", call, answer, limited, times=times, about=None)
        return PublicReply(answer, begun, self._clock.monotonic()) if isinstance(answer, HttpReply) else None

    async def _public_turn(self, call: Call) -> CallPermit:
        while True:
            with suppress(LimitFrozenError):
                return await Turn(self._lines, self._public, account="", user=self._user(""), costs=call.costs).wait()

    def _pay(self, turn: CallPermit, answer: HttpReply | Unavailable | Ambiguous) -> None:
        if isinstance(answer, HttpReply):
            turn.permit.spent(self.venue.usage(answer), self._venue_time.wall())
        elif isinstance(answer, Ambiguous):  # what was written before the connection was closed is still on its way
            turn.permit.given_up(self.settings.call_timeout)
        else:
            turn.permit.spent()

    def _say(
        self,
        account: str,
        call: Call,
        answer: HttpReply | Unavailable | Ambiguous,
        outcome: Outcome | None,
        *,
        times: CallTimes,
        about: object,
    ) -> None:
        fact = Called(
            venue=self.venue.name,
            account=account,
            call=call,
            about=about,
            times=times,
            status=answer.status if isinstance(answer, HttpReply) else None,
            outcome=outcome,
            seconds=self._clock.monotonic() - times.begun,
        )
        self._observer.called(fact)

    def _user(self, account: str) -> str:
        return self._keys.user(self.venue.name, account)

    def _learn(self, account: str, call: Call, outcome: Outcome, begun: float) -> None:
        if isinstance(outcome, Unavailable | Ambiguous):
            self._failures += 1
            self.breakers.failed(account)
            return
        self._failures = 0
        if call.purpose == "set_leverage":
            self.breakers.succeeded(account)
        else:
            self.breakers.reached(account)
        user = self._user(account)
        if isinstance(outcome, Throttled):
            self._rest(user, call, outcome, begun)
        else:
            self._pauses.succeeded(scope for scope, _ in self._touched(user, {cost.limit for cost in call.costs}))

    def _learn_of_keys(self, account: str, call: Call, credentials: Credentials, outcome: Outcome) -> None:
        if call.purpose != "set_leverage":  # reading back may need another permission of the key
            return
        if isinstance(outcome, KeyRejection):
            self._keys.refused(self.venue.name, account, credentials, outcome.message)
        elif isinstance(outcome, Applied | Rejection):
            self._keys.accepted(self.venue.name, account, credentials)

    def _rest(self, user: str, call: Call, throttled: Throttled, begun: float) -> None:
        """Grant nothing of the limits that were met for as long as the venue asks, or our own floor does."""
        now = self._clock.monotonic()
        names = {cost.limit for cost in call.costs} if throttled.limit is None else {throttled.limit}
        touched = self._touched(user, names)
        longest = max((window for _, window in touched), default=LONGEST_WINDOW)
        told = self._told(throttled)
        seconds = self._pauses.seconds([scope for scope, _ in touched], told, longest=longest, begun=begun, now=now)
        if throttled.banned or (told is not None and told < seconds):
            self._slots.narrow()  # one call finds out whether it is over
        if throttled.banned:
            self._public.banned_until = max(self._public.banned_until, now + seconds)
        self._permits.throttle(self.venue.name, user, throttled.limit, now + seconds)

    def _told(self, throttled: Throttled) -> float | None:
        told = [] if throttled.retry_after is None else [throttled.retry_after]
        if throttled.until is not None:
            told.append(throttled.until - self._venue_time.wall() + CLOCK_SLACK)
        return min(LONGEST_WAIT, max(0.0, *told)) if told else None

    def _touched(self, user: str, names: set[str]) -> list[tuple[LimitScope, float]]:
        limits = [limit for limit in self.venue.limits if limit.name in names]
        return [((limit.name, "" if limit.scope == "ip" else user), limit.window) for limit in limits]


def _limited(answer: HttpReply) -> Throttled | None:
    """What an answer to a public call says of limits, by its status: any venue's form of it."""
    if answer.status not in LIMITED:
        return None
    banned = answer.status == BANNED
    return Throttled(
        http_status=answer.status, retry_after=retry_after(answer), until=banned_until(answer), banned=banned
    )
