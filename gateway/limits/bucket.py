"""One scope's tokens, such that no window of the venue's, wherever it starts, can hold more than the limit.

Before it, `budget` decides whose turn it is; after it, the call. A token is held from the grant until the call has
ended, answered or given up, and comes back one window after that: whenever between the two the venue counted it, it
has then left every window that a call made with it again can be in.
"""

from collections import deque
from collections.abc import Mapping
from typing import Literal, NamedTuple

from gateway.limits.allotment import Allotment, AllotmentState
from gateway.limits.others import SLACK, Others, Spending

DRIFT = 0.0005
"""How much faster than the venue's our clock may run: the most that NTP slews, 500 ppm (RFC 5905)."""
KEPT_BACK = 500
"""Of an address's weight that answers tell one in so many is kept back, so that the first call of a next life of ours,
which tells it the use, fits in a window that this one has spent."""
GRAINS = 2048
"""Tokens that come back within this fraction of a window come back together, so memory is bounded."""
TICK = 0.001
"""Seconds; no instant is worth finding more exactly."""


BucketMode = Literal["own", "shared", "fallback", "unheard"]
"""Who governs a bucket: this process, a store with others, our share of it while the store is gone, nobody yet."""


MODES: Mapping[AllotmentState, BucketMode] = {"unheard": "unheard", "governed": "shared", "alone": "fallback"}


class Hold(NamedTuple):
    """Tokens of one bucket in the hands of one call."""

    bucket: "Bucket"
    call: Spending


class _Returning:
    """Tokens on their way back; `first` is when the first of them would have been due alone."""

    __slots__ = ("due", "first", "weight")

    def __init__(self, due: float, weight: int) -> None:
        self.first = due
        self.due = due
        self.weight = weight


class Bucket:
    """The tokens of one scope. Every `now` is in monotonic seconds and never smaller than one before.

    Args:
        capacity: weight units a window.
        window: seconds.
        counted: the venue's answers tell what everybody has used.
        clock_error: seconds by which our idea of the venue's clock, whose windows they tell of, may be wrong.
        spent_at: when somebody before us may have spent all of it; None for never.
        allotment: our part of it, where other replicas share it.
        keeps_back: a little of it is never spent.
    """

    __slots__ = (
        "_keep",
        "_keeps_back",
        "_returning",
        "allotment",
        "capacity",
        "frozen_until",
        "held",
        "others",
        "spent",
        "window",
    )

    def __init__(
        self,
        capacity: int,
        window: float,
        *,
        counted: bool = False,
        clock_error: float = SLACK,
        spent_at: float | None = None,
        allotment: Allotment | None = None,
        keeps_back: bool = False,
    ) -> None:
        self._keeps_back = keeps_back
        self.capacity = capacity
        self.window = window
        self.frozen_until = 0.0
        self.held = 0
        self.spent = 0
        self.others = Others(capacity, window, clock_error) if counted else None
        self.allotment = allotment
        self._keep = window * (1 + DRIFT)
        self._returning: deque[_Returning] = deque()
        if spent_at is not None:
            self._spend(capacity, spent_at)

    @property
    def mode(self) -> BucketMode:
        """Who governs it."""
        if self.allotment is None:
            return "own"
        return MODES[self.allotment.state]

    def own(self, now: float) -> int:
        """Ours in the last window, after taking back what is due."""
        while self._returning and self._returning[0].due <= now:
            self.spent -= self._returning.popleft().weight
        return self.held + self.spent

    def free(self, now: float) -> int:
        """Tokens for the taking, at least 0; a freeze does not change them."""
        expected = self.others.expected(now) if self.others else 0
        free = self.capacity - self.own(now) - max(expected, self._kept_back)
        return max(0, free if self._ration is None else min(free, self._ration - self.own(now)))

    def used(self, now: float) -> int:
        """What the limit's window may hold: ours, held or spent, and what others are known to have spent."""
        return self.own(now) + (self.others.known(now) if self.others else 0)

    def fits(self, weight: int, now: float) -> bool:
        """Whether `weight` can be held now, freezes apart."""
        room = self.capacity - self.own(now) - weight
        if self._ration is not None and self.own(now) + weight > self._ration:
            return False
        if self.others is None or room < self._kept_back:
            return room >= self._kept_back
        if self.others.expected(now) <= room:
            return True
        if self.held == 0 and self.others.optimistic(now) <= room:
            return True
        # A forecast alone must not starve a heavy call: after a window without any of ours only facts count.
        return self.held == self.spent == 0 and self.others.known(now) <= room

    def hold(self, weight: int, now: float) -> Hold:
        """Take tokens for a call; `fits` said they are there."""
        self.held += weight
        if self.allotment:
            self.allotment.take(weight)
        return Hold(self, Spending(weight, now, self.others.mark(now) if self.others else None))

    def give_back(self, hold: Hold) -> None:
        """The call was never sent: its tokens are back at once."""
        self.held -= hold.call.weight
        if self.allotment:
            self.allotment.give_back(hold.call.weight)

    def ended(self, hold: Hold, now: float, *, counts_from: float | None = None) -> None:
        """The call ended without a word on usage; the venue may count it from a later time on."""
        if self.others:
            self.others.unanswered(hold.call, now)
        self._end(hold, now if counts_from is None else counts_from)

    def answered(self, hold: Hold, used: int, now: float, venue_wall: float) -> None:
        """The call was answered, and the answer told what everybody has used (`Others.told`)."""
        if self.others:
            self.others.observe(hold.call, used, now, venue_wall)
        self._end(hold, now)

    def freeze(self, until: float) -> None:
        """Nothing is granted before `until`; a shorter freeze does not end a longer one."""
        self.frozen_until = max(self.frozen_until, until)

    def fall_back(self, alone_at: float) -> None:
        """The store of a shared bucket is gone: nothing is granted up to `alone_at`, and then only our share of it."""
        if self.allotment is None:
            return
        self.freeze(alone_at)
        # What is held may end and come back before that; the store leaves it to us, who fell silent holding it.
        own = self.held + sum(entry.weight for entry in self._returning if entry.due > alone_at)
        grows_at = alone_at + self.allotment.call_timeout + self._keep
        self.allotment.lose(self.capacity, own, grows_at=grows_at)

    def assume_spent(self, now: float) -> None:
        """Somebody else may have spent all of it up to now: another instance had this account."""
        self._returning.clear()
        self.spent = 0
        self._spend(max(0, self.capacity - self.held), now)

    def assume_nothing(self) -> None:
        """Nobody can have spent anything before now; what calls hold they hold."""
        self._returning.clear()
        self.spent = 0

    def resize(self, capacity: int) -> None:
        """The venue grants more or less from now on; tokens above a smaller limit are not granted again."""
        self.capacity = capacity
        if self.others:
            self.others.capacity = capacity
        if self.allotment:
            self.allotment.resize(capacity)

    def ready_at(self, weight: int, now: float) -> float | None:
        """When to ask again whether `weight` fits, nobody else taking any; None if only the end of a call can help."""
        if self.fits(weight, now):
            return now
        own = self.own(now) + weight
        if self._ration is not None and own > self._ration:
            return self._returned_at(own - self._ration)
        if self.others is None:
            return self._returned_at(own - self.capacity)
        times = [self._returning[0].due] if self._returning else []
        ends_at = self.others.ends_at(now)
        times += [ends_at] if ends_at is not None and ends_at > now else []
        if not times:
            return None
        return self._hopeful_at(self.others, weight, now, min(times))

    def supply_at(self, amount: int, now: float) -> float:
        """When `amount` more tokens have become free, each spent again as soon as it is: a forecast, no promise."""
        start = max(now, self.frozen_until)
        expected = self.others.optimistic(start) if self.others else 0
        size = max(1, self.capacity - min(max(expected, self._kept_back), self.capacity))
        size = size if self._ration is None else max(1, min(size, self._ration))
        cycles, rest = divmod(max(amount, 1) - 1, size)
        returned = self._returned_at(self.own(now) + rest + 1 - size)
        return max(start, now + self._keep if returned is None else returned) + cycles * self._keep

    @property
    def _kept_back(self) -> int:
        return self.capacity // KEPT_BACK if self._keeps_back else 0

    @property
    def _ration(self) -> int | None:
        return self.allotment.ration if self.allotment else None

    def _hopeful_at(self, others: Others, weight: int, now: float, horizon: float) -> float:
        """The first instant up to the horizon at which a lone call may go, others having spent nothing more."""
        room = self.capacity - self.spent - weight
        if self.held or max(others.optimistic(horizon), self._kept_back) > room:
            return horizon
        early, late = now, horizon
        while late - early > TICK:
            middle = (early + late) / 2
            early, late = (early, middle) if others.optimistic(middle) <= room else (middle, late)
        return late

    def _returned_at(self, missing: int) -> float | None:
        """When so many tokens are back; None if fewer are on their way."""
        if missing <= 0:
            return 0.0
        for entry in self._returning:
            missing -= entry.weight
            if missing <= 0:
                return entry.due
        return None

    def _end(self, hold: Hold, now: float) -> None:
        self.held -= hold.call.weight
        self._spend(hold.call.weight, now)
        if self.allotment:
            self.allotment.spend(hold.call.weight)

    def _spend(self, weight: int, now: float) -> None:
        due = now + self._keep * (self.allotment.stretch if self.allotment else 1.0)
        if self._returning:
            due = max(due, self._returning[-1].due)
        self.spent += weight
        if self._returning and due - self._returning[-1].first <= self._keep / GRAINS:
            self._returning[-1].due = due
            self._returning[-1].weight += weight
        else:
            self._returning.append(_Returning(due, weight))
