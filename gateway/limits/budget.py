"""One venue's budget: several buckets taken together or not at all, first come first served, nobody starved.

Before it, `permits` brings requests; after it, `bucket` holds their tokens. Requests for the same set of buckets form
a queue, and only the heads of queues compete, in the order of their arrival. The buckets are ordered, an account's own
before those that it shares, slow ones before fast ones. A head goes through its buckets in that order: it reserves its
weight in each that has it, and at the first that is short it claims all that comes back, so later heads cannot starve
it. Beyond that one it reserves nothing, so an account that waits for its own tokens, or for a freeze to end, blocks no
other.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from math import inf
from typing import NamedTuple

from msgspec import structs

from gateway.limits.allotment import Allotment, Sharing
from gateway.limits.bucket import Bucket, Hold
from gateway.limits.limit import Cost, Limit, LimitPolicy


class Key(NamedTuple):
    """A bucket's name within its venue; the account is empty where the address is what counts."""

    limit: str
    account: str


class ScopedBucket:
    """One bucket and the queues that wait for it."""

    __slots__ = ("bucket", "key", "queues", "rank")

    def __init__(self, key: Key, bucket: Bucket) -> None:
        self.key = key
        self.bucket = bucket
        self.rank = (key.account == "", -bucket.window / bucket.capacity, key)
        self.queues: set[Queue] = set()

    @property
    def waiting(self) -> int:
        """Requests that wait for this bucket, among others."""
        return sum(len(queue.requests) for queue in self.queues)


Need = tuple[ScopedBucket, int]


class PermitRequest:
    """Somebody's wish for tokens of several buckets; granted once it has its holds."""

    __slots__ = ("granted", "holds", "needs", "number")

    def __init__(self, number: int, needs: tuple[Need, ...]) -> None:
        self.number = number
        self.needs = needs
        self.holds: tuple[Hold, ...] = ()
        self.granted = False


class Queue:
    """Requests for one set of buckets, in the order of their arrival."""

    __slots__ = ("requests", "scopes", "weights")

    def __init__(self, scopes: tuple[ScopedBucket, ...]) -> None:
        self.scopes = scopes
        self.requests: OrderedDict[int, PermitRequest] = OrderedDict()
        self.weights: dict[ScopedBucket, int] = dict.fromkeys(scopes, 0)

    @property
    def head(self) -> PermitRequest:
        """Who came first."""
        return next(iter(self.requests.values()))

    def add(self, request: PermitRequest) -> None:
        """Join at the end."""
        self.requests[request.number] = request
        for scope, weight in request.needs:
            self.weights[scope] += weight
            scope.queues.add(self)

    def remove(self, request: PermitRequest) -> None:
        """Leave, from wherever in the queue."""
        del self.requests[request.number]
        for scope, weight in request.needs:
            self.weights[scope] -= weight
            if not self.requests:
                scope.queues.discard(self)


class Budget:
    """All buckets of one venue, and who waits for them. Every `now` is in monotonic seconds.

    Args:
        limits: the venue's, as published.
        overrides: by a limit's name, what whoever runs us says instead.
        started: when this process began, for what an earlier one may have spent.
        share: of the limits that other replicas share, ours while their store is gone; None where there is no store.
        call_timeout: how long a call may be under way.

    Attributes:
        lacking: after `grant`: those who wait for nothing but the store of shared limits, in order of arrival.
    """

    def __init__(
        self,
        limits: Iterable[Limit],
        overrides: dict[str, LimitPolicy],
        started: float,
        sharing: Sharing | None = None,
    ) -> None:
        self._limits = {limit.name: _overridden(limit, overrides.get(limit.name)) for limit in limits}
        self._overrides = overrides
        self._started = started
        self._sharing = sharing
        self.lacking: list[PermitRequest] = []
        self._scopes: dict[Key, ScopedBucket] = {}
        self._queues: dict[tuple[ScopedBucket, ...], Queue] = {}
        self._last_number = 0
        self._may_be_spent = True
        for limit in self._limits.values():
            if limit.scope == "ip":
                self.scope(limit.name, "")

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits in force."""
        return tuple(self._limits.values())

    @property
    def scopes(self) -> tuple[ScopedBucket, ...]:
        """Every bucket that is known by now."""
        return tuple(self._scopes.values())

    def scope(self, limit_name: str, account: str) -> ScopedBucket:
        """The bucket of a limit for this account.

        Raises:
            ValueError: the venue has no such limit.
        """
        limit = self._limits.get(limit_name)
        if limit is None:
            raise ValueError(f"no limit {limit_name!r}; there are {', '.join(self._limits)}")
        key = Key(limit_name, "" if limit.scope == "ip" else account)
        found = self._scopes.get(key)
        if found is None:
            found = self._scopes[key] = ScopedBucket(key, self._bucket(limit))
        return found

    def request(self, account: str, costs: Sequence[Cost]) -> PermitRequest:
        """Join the queue for these costs; `grant` says when it is through.

        Raises:
            ValueError: an unknown limit, or a weight that no window of the limit could ever hold.
        """
        request = PermitRequest(self._last_number + 1, self._needs(account, costs))
        self._last_number += 1
        if not request.needs:
            request.granted = True
            return request
        scopes = tuple(scope for scope, _ in request.needs)
        if scopes not in self._queues:
            self._queues[scopes] = Queue(scopes)
        self._queues[scopes].add(request)
        return request

    def cancel(self, request: PermitRequest) -> None:
        """Leave the queue; tokens already granted are back at once."""
        for hold in request.holds:
            hold.bucket.give_back(hold)
        if not request.granted:
            self._leave(request)
        request.holds = ()

    def is_head(self, request: PermitRequest) -> bool:
        """Whether nobody waits for the same set of buckets before it."""
        return self.queue_of(request).head is request

    def grant(self, now: float) -> tuple[list[PermitRequest], float]:
        """Serve whoever can be served, in order of arrival.

        Returns:
            The requests now granted, and when to call again unless something ends before (infinity: not by time alone).
        """
        granted: list[PermitRequest] = []
        wake = inf
        reserved: dict[ScopedBucket, float] = {}
        self.lacking = []
        heads = [(queue.head.number, queue.head) for queue in self._queues.values()]
        heapify(heads)
        while heads:
            _, request = heappop(heads)
            ready_at = _place(request, reserved, now)
            if ready_at > now:
                wake = min(wake, ready_at)
                continue
            if not _is_leased(request, reserved, now):
                self.lacking.append(request)
                continue
            queue = self._leave(request)
            request.holds = tuple(scope.bucket.hold(weight, now) for scope, weight in request.needs)
            request.granted = True
            granted.append(request)
            if queue.requests:
                heappush(heads, (queue.head.number, queue.head))
        return granted, wake

    def estimate(self, account: str, costs: Sequence[Cost], now: float) -> float:
        """Seconds until a request made now would be granted, if calls in flight ended now and none were given back.

        Counted are those before it in each bucket; not those whom a freeze of another bucket holds back.
        """
        needs = self._needs(account, costs)
        own = {scope for scope, _ in needs}
        at = now
        for scope, weight in needs:
            ahead = sum(queue.weights[scope] for queue in scope.queues if not _frozen(queue.scopes, own, now))
            at = max(at, scope.bucket.supply_at(ahead + weight, now))
        return at - now

    def resize(self, limit_name: str, capacity: int) -> list[PermitRequest]:
        """The venue's limit is another from now on.

        Returns:
            The requests that no window can hold any more; they have left their queues.
        """
        limit = self._limits[limit_name]
        self._limits[limit_name] = structs.replace(limit, capacity=capacity)
        too_heavy: dict[int, PermitRequest] = {}
        for scope in self._scopes.values():
            if scope.key.limit == limit_name:
                scope.bucket.resize(capacity)
                too_heavy |= {r.number: r for queue in scope.queues for r in _heavier(queue, scope, capacity)}
        for request in too_heavy.values():
            self._leave(request)
        return list(too_heavy.values())

    def assume_nothing(self) -> None:
        """No earlier process can have spent anything, as far as nobody has said that one should think so."""
        self._may_be_spent = False
        for scope in self._scopes.values():
            override = self._overrides.get(scope.key.limit)
            if override is None or override.assume_spent is None:
                scope.bucket.assume_nothing()

    def _needs(self, account: str, costs: Sequence[Cost]) -> tuple[Need, ...]:
        if len(costs) == 1 and costs[0].weight > 0:  # most calls: nothing to add up or to sort
            scope, weight = self.scope(costs[0].limit, account), costs[0].weight
            _see_that_it_fits(scope, weight)
            return ((scope, weight),)
        weights: dict[ScopedBucket, int] = {}
        for cost in costs:
            scope = self.scope(cost.limit, account)
            weights[scope] = weights.get(scope, 0) + cost.weight
            _see_that_it_fits(scope, weights[scope])
        return tuple(sorted(((s, w) for s, w in weights.items() if w > 0), key=lambda need: need[0].rank))

    def _bucket(self, limit: Limit) -> Bucket:
        override = self._overrides.get(limit.name)
        assume = override.assume_spent if override else None
        counted = limit.usage_header is not None
        is_shared = override is not None and override.is_shared
        allotment = Allotment(self._sharing) if self._sharing is not None and is_shared else None
        spent = (self._may_be_spent and not counted and allotment is None) if assume is None else assume
        spent_at = self._started if spent else None
        return Bucket(
            limit.capacity,
            limit.window,
            counted=counted,
            clock_error=limit.clock_error,
            spent_at=spent_at,
            allotment=allotment,
            keeps_back=counted and limit.scope == "ip",
        )

    def queue_of(self, request: PermitRequest) -> Queue:
        """Those who wait for the same buckets as this one, itself among them."""
        return self._queues[tuple(scope for scope, _ in request.needs)]

    def _leave(self, request: PermitRequest) -> Queue:
        scopes = tuple(scope for scope, _ in request.needs)
        queue = self._queues[scopes]
        queue.remove(request)
        if request in self.lacking:
            self.lacking.remove(request)
        if not queue.requests:
            del self._queues[scopes]
        return queue


def _place(request: PermitRequest, reserved: dict[ScopedBucket, float], now: float) -> float:
    """Make a head's reservations; `now` if it can be granted, and then it made none, else when to try again."""
    thaw = max(scope.bucket.frozen_until for scope, _ in request.needs)
    if thaw > now:
        return thaw
    ahead = [reserved.get(scope, 0) for scope, _ in request.needs]
    for passed, ((scope, weight), before) in enumerate(zip(request.needs, ahead, strict=True)):
        if before < inf and scope.bucket.fits(weight + int(before), now):
            continue
        for (earlier, taken), there in zip(request.needs[:passed], ahead, strict=False):
            reserved[earlier] = there + taken
        reserved[scope] = inf
        ready_at = scope.bucket.ready_at(weight + int(before), now) if before < inf else None
        return inf if ready_at is None else ready_at
    return now


def _is_leased(request: PermitRequest, reserved: dict[ScopedBucket, float], now: float) -> bool:
    """Whether the store need not be asked; if it must, the request keeps its place in all of its buckets meanwhile."""
    if all(allotment.covers(weight, now) for scope, weight in request.needs if (allotment := scope.bucket.allotment)):
        return True
    for scope, weight in request.needs:
        reserved[scope] = reserved.get(scope, 0) + weight
    return False


def _frozen(scopes: tuple[ScopedBucket, ...], apart_from: set[ScopedBucket], now: float) -> bool:
    return any(scope.bucket.frozen_until > now for scope in scopes if scope not in apart_from)


def _see_that_it_fits(scope: ScopedBucket, weight: int) -> None:
    """ValueError for a weight that no window holds, whatever our part of it is now."""
    if weight > scope.bucket.capacity:
        raise ValueError(f"a call of weight {weight} never fits {scope.key.limit}, which holds {scope.bucket.capacity}")


def _heavier(queue: Queue, scope: ScopedBucket, capacity: int) -> list[PermitRequest]:
    return [request for request in queue.requests.values() if dict(request.needs)[scope] > capacity]


def _overridden(limit: Limit, override: LimitPolicy | None) -> Limit:
    if override is None:
        return limit
    return structs.replace(limit, capacity=override.capacity or limit.capacity, window=override.window or limit.window)
