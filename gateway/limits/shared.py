"""Buckets that several replicas on one address share, by way of a store that they all reach.

`permits` says that somebody waits for nothing but the store; what it grants is in the buckets' `Allotment`s.

```
   replica one                   the store                    replica two
   held, ended, freezes, ──▶  what everybody holds   ◀──  held, ended, freezes,
   wanted                     and has spent               wanted
   tokens, freezes       ◀──                         ──▶  tokens, freezes
```

1. The store only adds what other replicas do. Who is next, freezes and usage headers are the local bucket's.
2. What the store must hear (ends, freezes, that we live) goes with each exchange, at least every `HEARTBEAT`.
3. What it grants is good for a term (`LEASE`), counted from when we asked. Who is silent for a term is gone.
4. Without the store a replica lives on its share (`Allotment`), from the end of the term on. The others leave the share
   to it from when it has been silent for a term, or has said that it is alone, for `FORGET` seconds.
5. A store that has forgotten grants nothing until all calls that it does not know have left every window; until then
   replicas live on their shares and report them.

Where it cannot hold: a share cannot be left to a replica that the store does not know, as it forgot and has not heard
it since, never heard it of this bucket (a new name, a new account), or not for `FORGET` seconds. There a window may
hold more than its limit. And the store's clock is its server's wall clock: stepped forward by hand, it gives tokens
back that much too early.
"""

import asyncio
from collections.abc import Callable, Sequence
from math import floor, inf
from typing import Protocol

from msgspec import Struct, structs

from gateway.clock import Clock
from gateway.limits.allotment import Allotment
from gateway.limits.bucket import DRIFT
from gateway.limits.budget import Budget, PermitRequest, Queue, ScopedBucket

HEARTBEAT = 0.5
LEASE = 2.0
"""Seconds of silence after which a replica is taken for gone; before that it does not use its fallback share."""
FORGET = 600.0
"""Seconds of silence after which its share is not left to it any longer."""
DEADLINE = 0.5
SPACING = 0.005
"""Seconds between exchanges of one venue, so that many ends make one."""
MOST = 64
"""Calls granted by one exchange."""


class ScopeReport(Struct, frozen=True, kw_only=True):
    """What one replica says of one bucket, and the weight that one call wants of it, perhaps 0.

    Attributes:
        alone: the replica lives on its share, which the others leave to it from now on, until it says otherwise.
        fresh: this process says so for the first time; what one of the same name held before may be under way still.
    """

    alone: bool
    fresh: bool
    capacity: int
    window_ms: int
    held: int
    ended: int
    freeze_ms: int
    weight: int


class Exchange(Struct, frozen=True, kw_only=True):
    """One exchange: tokens for up to `count` calls of the same weights, each all or nothing; 0 for none.

    Attributes:
        said_at_ms: the server's time when this was said, by its last word and our clock since, or earlier; 0: unknown.
        patience_ms: for how long an answer is waited for; what is heard later is void, as we have made other plans.
        leaving: the last word of this process.
    """

    replica: str
    share: float
    lease_ms: int
    forget_ms: int
    timeout_ms: int
    said_at_ms: int
    patience_ms: int
    count: int
    leaving: bool
    scopes: tuple[ScopeReport, ...]


class ScopeReply(Struct, frozen=True, kw_only=True):
    """How long the bucket stays closed after a store's restart, and frozen."""

    closed_ms: float
    frozen_ms: float


class Reply(Struct, frozen=True, kw_only=True):
    """For how many calls there are tokens, and when to ask again if for none. `void` means it was not heeded."""

    now_ms: float
    void: bool = False
    granted: int = 0
    wait_ms: float = 0.0
    scopes: tuple[ScopeReply, ...] = ()


class StoreGoneError(Exception):
    """The store did not answer in time, or not as it should."""


class Store(Protocol):
    """Where the buckets are: Redis, Valkey, or a test's own."""

    async def exchange(self, keys: Sequence[str], ask: Exchange) -> Reply:
        """Say and ask.

        Raises:
            StoreGoneError: whether it was heard is not known.
        """
        ...

    async def close(self) -> None:
        """Close the connection."""
        ...


class StoreObserver(Protocol):
    """Is told when the store is lost and when it is back."""

    def lost_shared_store(self, reason: str) -> None:
        """The store does not answer: limits are held by our share of them, if the store was heard before."""
        ...

    def found_shared_store(self) -> None:
        """The store answers."""
        ...


class _Reach:
    """Whether the store answers, as it is told: each change once."""

    __slots__ = ("_heard_at", "_is_up", "_observer")

    def __init__(self, observer: StoreObserver) -> None:
        self._observer = observer
        self._is_up: bool | None = None
        self._heard_at = -inf

    def heard(self, now: float) -> None:
        self._heard_at = now
        if self._is_up is False:
            self._observer.found_shared_store()
        self._is_up = True

    def missed(self, reason: str, now: float) -> None:
        if self._is_up is not False and now - self._heard_at >= LEASE:  # one late answer is no news
            self._is_up = False
            self._observer.lost_shared_store(reason)


class _VenueShare:
    """One venue's shared buckets, and how it stands with the store."""

    __slots__ = ("ask_at", "beat_at", "budget", "heard", "lost_until", "serve", "timeout", "venue")

    def __init__(self, venue: str, budget: Budget, timeout: float, serve: Callable[[], None]) -> None:
        self.venue = venue
        self.budget = budget
        self.timeout = timeout
        self.serve = serve
        # Our time when the store's last word came, and the server's when it was said.
        self.heard: tuple[float, float] | None = None
        self.beat_at = -inf
        self.lost_until = -inf
        self.ask_at: dict[Queue, float] = {}

    def wanted(self, now: float) -> PermitRequest | None:
        """Who asks next: the first in order of arrival whose queue was not told to wait."""
        queues = [self.budget.queue_of(request) for request in self.budget.lacking]
        self.ask_at = {queue: at for queue, at in self.ask_at.items() if queue in queues and at > now}
        return next((queue.head for queue in queues if queue not in self.ask_at), None)

    def due_at(self, now: float) -> float:
        """When there is something to say or to ask for."""
        told = any(allotment.has_news for _, allotment in self.shared())
        due = now if told or self.wanted(now) else min(self.beat_at, *self.ask_at.values(), inf)
        return max(due, self.lost_until)

    def server_ms(self, now: float) -> int:
        """The server's time, or a little earlier; 0 if it was never heard."""
        return floor(self.heard[1] + (now - self.heard[0]) * 1000) if self.heard else 0

    def shared(self) -> list[tuple[ScopedBucket, Allotment]]:
        return [(scope, allotment) for scope in self.budget.scopes if (allotment := scope.bucket.allotment)]


class SharedBuckets:
    """All shared buckets of this replica.

    Args:
        replica: a name of its own, the same after a restart.
        share: of each bucket, while the store is gone. The replicas' shares should add up to no more than 1.
    """

    def __init__(self, store: Store, *, replica: str, share: float, clock: Clock, observer: StoreObserver) -> None:
        self.share = share
        self._store = store
        self._replica = replica
        self._clock = clock
        self._reach = _Reach(observer)
        self._parts: list[_VenueShare] = []
        self._news = asyncio.Event()

    def attach(self, venue: str, budget: Budget, call_timeout: float, serve: Callable[[], None]) -> None:
        """Keep this venue's shared buckets; `serve` is called whenever somebody in line may be served."""
        self._parts.append(_VenueShare(venue, budget, call_timeout, serve))

    def wake(self) -> None:
        """Something ended, froze, or somebody waits for the store."""
        self._news.set()

    async def run(self) -> None:
        """Talk to the store until cancelled, and then say goodbye."""
        try:
            while True:
                self._news.clear()
                await asyncio.gather(*(self._turn(part) for part in self._parts))
                await self._rest()
        finally:
            await asyncio.shield(self._leave())

    async def close(self) -> None:
        """Close the store's connection, after `run` has ended."""
        await self._store.close()

    async def _rest(self) -> None:
        now = self._clock.monotonic()
        due = min((part.due_at(now) for part in self._parts), default=now + HEARTBEAT)
        await asyncio.sleep(SPACING)
        try:
            async with asyncio.timeout(max(0.0, due - now - SPACING)):
                await self._news.wait()
        except TimeoutError:
            return

    async def _turn(self, part: _VenueShare) -> None:
        now = self._clock.monotonic()
        grown = [allotment.grow(scope.bucket.capacity, now) for scope, allotment in part.shared()]
        if any(grown):
            part.serve()
        if part.due_at(now) <= now:
            await self._exchange(part, now)

    async def _exchange(self, part: _VenueShare, now: float) -> None:
        shared = part.shared()
        wanted = part.wanted(now)
        queue = part.budget.queue_of(wanted) if wanted else None
        for _, allotment in shared:
            allotment.ask()
        ask = self._ask(part, shared, wanted, now)
        try:
            async with asyncio.timeout(DEADLINE):
                reply = await self._store.exchange([self._key(part, scope) for scope, _ in shared], ask)
        except (StoreGoneError, TimeoutError) as error:
            self._reach.missed(str(error) or f"no answer within {DEADLINE:g} s", self._clock.monotonic())
            self._lost(part, shared, now)
        else:
            part.heard = self._clock.monotonic(), reply.now_ms
            self._reach.heard(self._clock.monotonic())
            if reply.void:
                self._lost(part, shared, now)
            else:
                self._heard(part, shared, (ask, reply), now)
            if queue and reply.granted == 0:
                part.ask_at[queue] = self._clock.monotonic() + max(reply.wait_ms / 1000, SPACING)
        finally:
            for _, allotment in shared:
                allotment.end_exchange()
        part.serve()

    def _ask(
        self,
        part: _VenueShare,
        shared: list[tuple[ScopedBucket, Allotment]],
        wanted: PermitRequest | None,
        now: float,
    ) -> Exchange:
        weights = dict(wanted.needs) if wanted else {}
        return Exchange(
            replica=self._replica,
            share=self.share,
            lease_ms=floor(LEASE * 1000),
            forget_ms=floor(FORGET * 1000),
            timeout_ms=floor(part.timeout * 1000),
            said_at_ms=part.server_ms(now),
            patience_ms=floor(DEADLINE * 1000),
            count=_same_needs(part.budget, wanted, now) if wanted else 0,
            leaving=False,
            scopes=tuple(_report(scope, allotment, weights.get(scope, 0), now) for scope, allotment in shared),
        )

    def _lost(self, part: _VenueShare, shared: list[tuple[ScopedBucket, Allotment]], began: float) -> None:
        # What we said may have been heard up to the deadline, and a term after that our share is left to us.
        left_to_us = began + DEADLINE + LEASE + SPACING
        for scope, allotment in shared:
            if (
                allotment.state != "alone" or allotment.until <= began
            ):  # or we were stopped, and have asked nobody for a term
                scope.bucket.fall_back(left_to_us)
            allotment.until = left_to_us
        part.beat_at = part.lost_until = self._clock.monotonic() + HEARTBEAT

    def _heard(
        self,
        part: _VenueShare,
        shared: list[tuple[ScopedBucket, Allotment]],
        said: tuple[Exchange, Reply],
        began: float,
    ) -> None:
        ask, reply = said
        now = self._clock.monotonic()
        part.beat_at = began + HEARTBEAT
        for (scope, allotment), asked, answered in zip(shared, ask.scopes, reply.scopes, strict=True):
            allotment.acknowledge(asked.ended, began + (asked.freeze_ms + 1) / 1000)
            if answered.frozen_ms > 0:
                scope.bucket.freeze(now + answered.frozen_ms / 1000)
            if answered.closed_ms == 0:
                allotment.hear(began + LEASE, reply.granted * asked.weight)
            else:
                _wait(scope, allotment, now, began + LEASE)

    async def _leave(self) -> None:
        for part in self._parts:
            now = self._clock.monotonic()
            shared = part.shared()
            for _, allotment in shared:
                allotment.leave()
            ask = self._ask(part, shared, None, now)
            try:
                async with asyncio.timeout(DEADLINE):
                    keys = [self._key(part, scope) for scope, _ in shared]
                    await self._store.exchange(keys, structs.replace(ask, leaving=True))
            except (StoreGoneError, TimeoutError):
                continue

    def _key(self, part: _VenueShare, scope: ScopedBucket) -> str:
        return f"leverage-gateway:{{{part.venue}}}:{scope.key.limit}:{scope.key.account}"


def _report(scope: ScopedBucket, allotment: Allotment, weight: int, now: float) -> ScopeReport:
    bucket = scope.bucket
    bucket.own(now)
    allotment.unsaid = min(allotment.unsaid, bucket.spent)  # what ended longer ago has left every window
    return ScopeReport(
        alone=allotment.state != "governed",
        fresh=not allotment.is_known,
        capacity=bucket.capacity,
        window_ms=floor(bucket.window * (1 + DRIFT) * 1000) + 1,
        held=bucket.held + allotment.allowance,
        ended=allotment.unsaid,
        freeze_ms=max(0, floor((allotment.frozen_until - now) * 1000)),
        weight=weight,
    )


def _wait(scope: ScopedBucket, allotment: Allotment, now: float, until: float) -> None:
    """Live on what is ours while the store has forgotten."""
    allotment.wait(until)
    if allotment.state != "alone":
        scope.bucket.fall_back(now)


def _same_needs(budget: Budget, wanted: PermitRequest, now: float) -> int:
    """How many calls from this one on want the same of the same buckets, and have all else."""
    room = min((scope.bucket.free(now) // weight for scope, weight in wanted.needs), default=1)
    count = 0
    for request in budget.queue_of(wanted).requests.values():
        if request.needs != wanted.needs or count == min(MOST, max(1, room)):
            break
        count += 1
    return count
