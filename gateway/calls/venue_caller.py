"""One venue's calls: a turn (breaker, permit, slot), then sign, send, classify, and what the answer teaches.

`execute` decides which command is called and how often; here every call pays, and every answer feeds back.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from gateway.calls.breaker import Breaker, BreakerPolicy
from gateway.calls.observer import CallObserver
from gateway.calls.slots import Slots
from gateway.clock import Clock
from gateway.limits.permits import Grant, Permits
from gateway.outcomes import Ambiguous, Outcome, Throttled, Unavailable
from gateway.settings.tree import VenueSettings
from gateway.transport.messages import LIMITED, HttpReply, HttpRequest
from gateway.venues.credentials import Credentials
from gateway.venues.reply import LONGEST_WAIT, retry_after
from gateway.venues.venue import Call, Venue

CLOCK_SLACK = 1.0  # seconds; some venues tell their clock in whole seconds, and a call before a ban ends prolongs it


class Sender(Protocol):
    """A venue's HTTP session, or a simulated network."""

    async def send(self, request: HttpRequest) -> HttpReply | Unavailable | Ambiguous:
        """Send once, within the venue's call timeout."""
        ...


class VenueTime(Protocol):
    """The venue's clock as far as we know it."""

    def timestamp_ms(self) -> int:
        """Milliseconds since 1970 UTC by the venue's clock."""
        ...

    async def measure(self) -> bool:
        """Measure the offset again; False where that failed."""
        ...


class CallPermit:
    """The right to start one call now; it must be used or given back."""

    __slots__ = ("_account", "_slots", "permit")

    def __init__(self, permit: Grant, slots: Slots, account: str) -> None:
        self.permit = permit
        self._account = account
        self._slots: Slots | None = slots

    def give_back(self) -> None:
        """Give everything back: nothing was sent. Without effect once the turn is over."""
        self.permit.give_back()
        self.leave()

    def leave(self) -> None:
        """The call is over: its slot is free, its permit settled elsewhere."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.give_back(self._account)


class VenueCaller:
    """All calls of this process to one venue."""

    def __init__(
        self,
        venue: Venue,
        settings: VenueSettings,
        *,
        sender: Sender,
        venue_time: VenueTime,
        permits: Permits,
        clock: Clock,
        max_in_flight: int,
        observer: CallObserver,
    ) -> None:
        self.venue = venue
        self.settings = settings
        self._sender = sender
        self._venue_time = venue_time
        self._permits = permits
        self._clock = clock
        self._slots = Slots(max_in_flight)
        self._observer = observer
        self._breaker_policy = BreakerPolicy(failures=settings.breaker_failures, reset=settings.breaker_reset)
        self._breakers: dict[str, Breaker] = {}
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return self._in_flight

    @property
    def open_breakers(self) -> int:
        """Accounts that are not called now, or only probed."""
        now = self._clock.monotonic()
        return sum(breaker.is_open(now) for breaker in self._breakers.values())

    def breaker(self, account: str) -> Breaker:
        """The breaker between us and this account at the venue."""
        return self._breakers.setdefault(account, Breaker(self._breaker_policy))

    def estimate(self, account: str, call: Call) -> float:
        """Seconds until a call that asks now would get its turn."""
        now = self._clock.monotonic()
        permit = self._permits.estimate(self.venue.name, account, call.costs)
        return max(permit, self.breaker(account).probe_at(now) - now)

    def assume_spent(self, account: str, until: float) -> None:
        """The account came from another instance, whose calls may count until then."""
        self._permits.assume_spent(self.venue.name, account, until)

    async def turn(self, account: str, call: Call) -> CallPermit:
        """Wait for the right to start one call; cancelled, nothing is lost."""
        begun = self._clock.monotonic()
        breaker = self.breaker(account)
        while True:
            now = self._clock.monotonic()
            await asyncio.sleep(breaker.probe_at(now) - now)
            turn = await self._permitted(account, call)
            if not turn.permit.is_frozen() and breaker.allows(self._clock.monotonic()):
                self._observer.waited(self.venue.name, self._clock.monotonic() - begun)
                return turn
            turn.give_back()

    async def send(
        self,
        turn: CallPermit,
        account: str,
        call: Call,
        credentials: Credentials,
        classify: Callable[[HttpReply], Outcome],
        *,
        may_send: Callable[[], bool] = lambda: True,
    ) -> Outcome | None:
        """Sign, send once and say what became of it; None where `may_send` said no, and nothing was sent.

        It is asked after the signature: a process that is stopped between the two sends, once it wakes up, what the
        venue refuses for its old timestamp.
        """
        begun = self._clock.monotonic()
        try:
            request = self.venue.sign(call, credentials, self._venue_time.timestamp_ms())
        except BaseException:
            turn.give_back()
            raise
        if not may_send():
            turn.give_back()
            return None
        self._in_flight += 1
        try:
            answer = await self._sender.send(request)
        except BaseException:
            turn.permit.spent()
            raise
        finally:
            self._in_flight -= 1
            turn.leave()
        outcome = self._settle(turn, answer, classify)
        self._learn(account, call, outcome)
        status = answer.status if isinstance(answer, HttpReply) else None
        self._observer.called(self.venue.name, call, status, outcome, self._clock.monotonic() - begun)
        return outcome

    async def measure_clock(self) -> bool:
        """Learn the venue's clock again, paid for like any call."""
        permit = await self._permits.acquire(self.venue.name, "", self.venue.server_time().costs)
        try:
            return await self._venue_time.measure()
        finally:
            permit.spent()

    async def ask(self, call: Call, *, largest_answer_bytes: int) -> HttpReply | None:
        """Make a public call, paid for like any; None where there was no whole answer."""
        permit = await self._permits.acquire(self.venue.name, "", call.costs)
        target = f"{call.path}?{call.query}" if call.query else call.path
        try:
            answer = await self._sender.send(
                HttpRequest(method=call.method, target=target, headers={}, largest_answer_bytes=largest_answer_bytes)
            )
            if not isinstance(answer, HttpReply):
                return None
            permit.spent(self.venue.usage(answer), self._venue_time.timestamp_ms() / 1000)
        finally:
            permit.spent()
        if answer.status in LIMITED:
            pause = self._pause(call, Throttled(retry_after=retry_after(answer)))
            self._permits.throttle(self.venue.name, "", None, self._clock.monotonic() + pause)
        return answer

    async def _permitted(self, account: str, call: Call) -> CallPermit:
        permit = await self._permits.acquire(self.venue.name, account, call.costs)
        try:
            await self._slots.take(account)
        except BaseException:
            permit.give_back()
            raise
        return CallPermit(permit, self._slots, account)

    def _settle(
        self, turn: CallPermit, answer: HttpReply | Unavailable | Ambiguous, classify: Callable[[HttpReply], Outcome]
    ) -> Outcome:
        if not isinstance(answer, HttpReply):
            turn.permit.spent()
            return answer
        turn.permit.spent(self.venue.usage(answer), self._venue_time.timestamp_ms() / 1000)
        return classify(answer)

    def _learn(self, account: str, call: Call, outcome: Outcome) -> None:
        now = self._clock.monotonic()
        if isinstance(outcome, Unavailable | Ambiguous):
            self.breaker(account).failed(now)
            return
        if call.purpose == "set_leverage":
            self.breaker(account).succeeded(now)
        else:
            self.breaker(account).reached(now)
        if isinstance(outcome, Throttled):
            self._permits.throttle(self.venue.name, account, outcome.limit, now + self._pause(call, outcome))

    def _pause(self, call: Call, throttled: Throttled) -> float:
        told = [] if throttled.retry_after is None else [throttled.retry_after]
        if throttled.until is not None:
            told.append(throttled.until - self._venue_time.timestamp_ms() / 1000 + CLOCK_SLACK)
        if told:
            return min(LONGEST_WAIT, max(0.0, *told))
        names = {cost.limit for cost in call.costs} if throttled.limit is None else {throttled.limit}
        return max((limit.window for limit in self.venue.limits if limit.name in names), default=60.0)
