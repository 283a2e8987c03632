"""Permits to call a venue, and the line for them: the only place of the limits that waits.

Before it, a command's turn comes; after it, the call is signed and sent, and its permit told how it ended. Who waits
holds a place in line and no task; one timer wakes whoever is next; nothing polls.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from math import inf

from msgspec import Struct

from gateway.clock import Clock
from gateway.limits.allotment import Sharing
from gateway.limits.bucket import TICK, BucketMode
from gateway.limits.budget import Budget, PermitRequest, ScopedBucket
from gateway.limits.limit import Cost, Limit, LimitPolicy, Usage
from gateway.limits.shared import SharedBuckets
from schemas import VenueName

LONG_FREEZE = 1.0  # seconds; who waits for so short a pause keeps its place in line


class ScopeSnapshot(Struct, frozen=True, kw_only=True):
    """One bucket as the metrics see it.

    Attributes:
        account: empty where the address is what counts.
        used: what its window may hold: ours, and what others are known to have spent.
        free: what could be granted now; less than `capacity - used` where others are expected to spend.
        waiting: requests in line for it.
        frozen_until: monotonic seconds; in the past if it is not frozen.
        mode: who governs it.
    """

    venue: VenueName
    limit: str
    account: str
    capacity: int
    used: int
    free: int
    waiting: int
    frozen_until: float
    mode: BucketMode = "own"


class LimitLoweredError(Exception):
    """The venue lowered a limit below the weight of a waiting call."""


class LimitFrozenError(Exception):
    """A pause came that is too long to be waited out in line without thinking again."""


class _VenueQueue:
    """One venue's budget and those who wait for it."""

    __slots__ = ("budget", "due", "places", "serving", "shared")

    def __init__(self, budget: Budget, shared: SharedBuckets | None) -> None:
        self.budget = budget
        self.shared = shared
        self.places: dict[PermitRequest, PermitPlace] = {}
        self.due = inf
        self.serving = False


class Grant:
    """The right to make one call now. It is spent or given back, whichever is said first."""

    __slots__ = ("_permits", "_queue", "_request")

    def __init__(self, permits: "Permits", queue: _VenueQueue, request: PermitRequest) -> None:
        self._permits = permits
        self._queue = queue
        self._request: PermitRequest | None = request

    def given_up(self, arrives_within: float) -> None:
        """The call is over for us, and may reach the venue for so many seconds more, and count there from then."""
        now = self._permits.now()
        request = self._finish()
        for hold in request.holds if request else ():
            hold.bucket.ended(hold, now, counts_from=now + arrives_within)

    def spent(self, usages: Sequence[Usage] = (), venue_wall: float = 0.0) -> None:
        """The call is over: answered, or never received.

        Args:
            usages: what the answer's headers say is used, if there was one.
            venue_wall: the venue's clock then, seconds since 1970 UTC.
        """
        used = {usage.limit: usage.used for usage in usages}
        now = self._permits.now()
        request = self._finish()
        for (scope, _), hold in zip(request.needs, request.holds, strict=True) if request else ():
            if scope.key.limit in used:
                hold.bucket.answered(hold, used[scope.key.limit], now, venue_wall)
            else:
                hold.bucket.ended(hold, now)

    def give_back(self) -> None:
        """Nothing was sent: the tokens are back at once."""
        request = self._finish()
        if request:
            self._queue.budget.cancel(request)

    def is_frozen(self) -> bool:
        """Whether a freeze came after the grant: then better give it back unused than walk into a ban."""
        if self._request is None:
            return False
        now = self._permits.now()
        for hold in self._request.holds:  # noqa: SIM110 - asked several times a call, and a generator costs more
            if hold.bucket.frozen_until > now:
                return True
        return False

    def _finish(self) -> PermitRequest | None:
        request, self._request = self._request, None
        if request:
            self._permits.serve_soon(self._queue)
        return request


PermitResult = Grant | LimitLoweredError | LimitFrozenError


class PermitPlace:
    """A place in line: its turn, or why there will be none, is told once, in a turn of the loop of its own."""

    __slots__ = ("_permits", "_queue", "_ready", "_request", "_result")

    def __init__(
        self, permits: "Permits", queue: _VenueQueue, request: PermitRequest, ready: Callable[[PermitResult], None]
    ) -> None:
        self._permits = permits
        self._queue = queue
        self._request = request
        self._ready: Callable[[PermitResult], None] | None = ready
        self._result: PermitResult | None = None
        queue.places[request] = self

    def end(self, result: PermitResult) -> None:
        """Its turn came, or none will."""
        del self._queue.places[self._request]
        self._result = result
        asyncio.get_running_loop().call_soon(self._tell)

    def leave(self) -> None:
        """Wait no more, and keep nothing: whatever was granted is given back, if it was not used."""
        self._ready = None
        if self._result is None:
            del self._queue.places[self._request]
            self._permits.cancel(self._queue, self._request)
        elif isinstance(self._result, Grant):
            self._result.give_back()

    def _tell(self) -> None:
        if self._ready is not None and self._result is not None:
            self._ready(self._result)


class Permits:
    """All venues' permits. Venues share nothing, so none delays another.

    Args:
        shared: for the limits that settings share with other replicas; without it they are held here alone.
    """

    def __init__(self, clock: Clock, shared: SharedBuckets | None = None) -> None:
        self._clock = clock
        self._shared = shared
        self._queues: dict[str, _VenueQueue] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf

    def now(self) -> float:
        """Monotonic seconds."""
        return self._clock.monotonic()

    def register(
        self,
        venue: VenueName,
        limits: Sequence[Limit],
        overrides: Mapping[str, LimitPolicy] | None = None,
        *,
        call_timeout: float,
    ) -> None:
        """Make a venue's buckets; what an earlier process may have spent counts from now on.

        Args:
            venue: its name.
            limits: as it publishes them.
            overrides: by a limit's name, what whoever runs us says of it.
            call_timeout: how long a call may be under way, for what other replicas may have out.
        """
        sharing = Sharing(self._shared.share, call_timeout) if self._shared else None
        budget = Budget(limits, dict(overrides or {}), self.now(), sharing)
        shared = self._shared if any(override.is_shared for override in (overrides or {}).values()) else None
        queue = self._queues[venue] = _VenueQueue(budget, shared)
        if shared:
            shared.attach(venue, budget, call_timeout, lambda: self._serve(queue))

    def line_up(
        self, venue: VenueName, account: str, costs: Sequence[Cost], ready: Callable[[PermitResult], None]
    ) -> Grant | PermitPlace:
        """Ask for all of these costs at once: the grant, or a place in line whose end `ready` is told.

        Raises:
            ValueError: an unknown limit, or a weight that no window of the limit could ever hold.
        """
        queue = self._queues[venue]
        request = queue.budget.request(account, costs)
        if not request.granted and queue.budget.is_head(request):
            self._serve(queue)
        return Grant(self, queue, request) if request.granted else PermitPlace(self, queue, request, ready)

    def cancel(self, queue: _VenueQueue, request: PermitRequest) -> None:
        """Take a request out of its line."""
        queue.budget.cancel(request)
        self.serve_soon(queue)

    def throttle(self, venue: VenueName, account: str, limit_name: str | None, until: float) -> None:
        """Grant nothing of this limit, or of all of the account's and the address's, before `until` (monotonic)."""
        queue = self._queues[venue]
        names = [limit.name for limit in queue.budget.limits] if limit_name is None else [limit_name]
        frozen = {queue.budget.scope(name, account) for name in names}
        for scope in frozen:
            scope.bucket.freeze(until)
            if scope.bucket.allotment:
                scope.bucket.allotment.freeze(until)
        if until - self.now() > LONG_FREEZE:
            self._send_away(queue, frozen)
        self.serve_soon(queue)

    def frozen_until(self, venue: VenueName, account: str, costs: Sequence[Cost]) -> float:
        """When the last freeze that holds such a call back ends, monotonic; in the past if none does."""
        budget = self._queues[venue].budget
        return max((budget.scope(cost.limit, account).bucket.frozen_until for cost in costs), default=0.0)

    def assume_spent(self, venue: VenueName, account: str, until: float = -inf) -> None:
        """Another instance may have spent the account's own limits up to `until` (monotonic): its partition came to us.

        Limits whose use the venue tells are left to what it tells, as at the start.
        """
        queue = self._queues[venue]
        for limit in queue.budget.limits:
            if limit.scope == "account" and limit.usage_header is None:
                queue.budget.scope(limit.name, account).bucket.assume_spent(max(until, self.now()))

    def assume_nothing(self) -> None:
        """No earlier process can have spent anything lately; to be said before the first call."""
        for queue in self._queues.values():
            queue.budget.assume_nothing()
            self.serve_soon(queue)

    def resize(self, venue: VenueName, limit_name: str, capacity: int) -> None:
        """The venue publishes another capacity; calls it could never hold stop waiting with `LimitLoweredError`."""
        queue = self._queues[venue]
        for request in queue.budget.resize(limit_name, capacity):
            queue.places[request].end(LimitLoweredError(f"{limit_name} of {venue} holds only {capacity} now"))
        self.serve_soon(queue)

    def estimate(self, venue: VenueName, account: str, costs: Sequence[Cost]) -> float:
        """Seconds a request made now would wait."""
        return self._queues[venue].budget.estimate(account, costs, self.now())

    def snapshot(self) -> tuple[ScopeSnapshot, ...]:
        """Every bucket, for the metrics."""
        now = self.now()
        return tuple(
            ScopeSnapshot(
                venue=venue,  # pyright: ignore[reportArgumentType]
                limit=scope.key.limit,
                account=scope.key.account,
                capacity=scope.bucket.capacity,
                used=scope.bucket.used(now),
                free=0 if scope.bucket.frozen_until > now else scope.bucket.free(now),
                waiting=scope.waiting,
                frozen_until=scope.bucket.frozen_until,
                mode=scope.bucket.mode,
            )
            for venue, queue in self._queues.items()
            for scope in queue.budget.scopes
        )

    def serve_soon(self, queue: _VenueQueue) -> None:
        """Serve those in line once the caller is done: a freeze that it adds then still counts."""
        if queue.shared:
            queue.shared.wake()
        if queue.places and not queue.serving:
            queue.serving = True
            asyncio.get_running_loop().call_soon(self._serve, queue)

    def _send_away(self, queue: _VenueQueue, frozen: set[ScopedBucket]) -> None:
        """Let those in line for these buckets think again, in the order in which they came."""
        for request, place in tuple(queue.places.items()):
            if any(scope in frozen for scope, _ in request.needs):
                queue.budget.cancel(request)
                place.end(LimitFrozenError())

    def _serve(self, queue: _VenueQueue) -> None:
        queue.serving = False
        granted, queue.due = queue.budget.grant(self.now())
        for request in granted:
            place = queue.places.get(request)
            if place:
                place.end(Grant(self, queue, request))
        if queue.shared and queue.budget.lacking:
            queue.shared.wake()
        self._set_timer()

    def _set_timer(self) -> None:
        due = min((queue.due for queue in self._queues.values()), default=inf)
        if due == self._timer_at:
            return
        if self._timer:
            self._timer.cancel()
        self._timer, self._timer_at = None, due
        if due < inf:
            delay = max(TICK, due - self.now())  # never 0: a clock that rounds must not make it spin on one instant
            self._timer = asyncio.get_running_loop().call_later(delay, self._wake)

    def _wake(self) -> None:
        self._timer, self._timer_at = None, inf
        now = self.now()
        for queue in self._queues.values():
            if queue.due <= now:
                self._serve(queue)
        self._set_timer()
