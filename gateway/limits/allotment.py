"""One replica's part of a bucket that several replicas share: what the store lets it have, or its fallback share.

`shared` talks to the store and says here what came of it; `bucket` grants no more than this allows.

```
                ┌──────────────────────────────── hear ───────────────────────────┐
                ▼                                                                 │
unheard ─hear▶ governed ──lose──▶ alone, on what is ours ──grow──▶ alone, on our share
   │                                    ▲
   └────────────────lose────────────────┘

unheard    nobody governs yet, and nothing is granted
governed   the store does: what it granted, for a term after its word
alone      the store is gone, and the ration governs
```

Alone, the ration is at first those tokens of our share that we have out ourselves at the end of the term, as the rest
may be spent by others; once their last calls have ended and left every window, it is all of the share. A usage header
tells too late what others spend to take it sooner. So shares that add up to no more than one keep every window. A share
of less than one token is one token that stays away for longer.
"""

from math import floor
from typing import Literal, NamedTuple

AllotmentState = Literal["unheard", "governed", "alone"]


class Sharing(NamedTuple):
    """How a replica shares a budget: the part of it that it falls back to, and how long its calls may be under way."""

    share: float
    call_timeout: float


class Allotment:
    """What may be granted of one shared bucket without asking again; times are monotonic.

    Attributes:
        call_timeout: how long a call may be under way.
        is_known: the store has heard of it from this process.
        until: when the store's last word loses its force, or our last failure to hear one.
        ration: the most that may be held and spent of our own; None while the store governs.
        stretch: how much longer than a window a token of a share of less than one token stays away.
        unsaid: weight of calls that have ended, which the store does not know yet.
        frozen_until: a freeze that the store does not know yet, or 0.
    """

    __slots__ = (
        "_allowance",
        "_grows_at",
        "_is_asking",
        "_share",
        "_state",
        "call_timeout",
        "frozen_until",
        "is_known",
        "ration",
        "stretch",
        "unsaid",
        "until",
    )

    def __init__(self, sharing: Sharing) -> None:
        self._share = sharing.share
        self._state: AllotmentState = "unheard"
        self._allowance = 0
        self._grows_at = 0.0
        self._is_asking = False
        self.call_timeout = sharing.call_timeout
        self.is_known = False
        self.until = 0.0
        self.ration: int | None = 0
        self.stretch = 1.0
        self.unsaid = 0
        self.frozen_until = 0.0

    @property
    def state(self) -> AllotmentState:
        """Who governs."""
        return self._state

    @property
    def allowance(self) -> int:
        """Weight that the store has granted and no call holds yet."""
        return self._allowance

    @property
    def has_news(self) -> bool:
        """Whether there is something that the store should know."""
        return self.unsaid > 0 or self.frozen_until > 0

    # What the bucket says.

    def covers(self, weight: int, now: float) -> bool:
        """Whether the store need not be asked first; alone, nothing is granted while it is: what it is told stays."""
        return now < self.until and (self._allowance >= weight if self._state == "governed" else not self._is_asking)

    def take(self, weight: int) -> None:
        """A call holds it now."""
        if self._state == "governed":
            self._allowance -= weight

    def give_back(self, weight: int) -> None:
        """It was not used."""
        if self._state == "governed":
            self._allowance += weight

    def spend(self, weight: int) -> None:
        """A call that held it has ended."""
        self.unsaid += weight

    def freeze(self, until: float) -> None:
        """The venue asks for a pause, which the store should pass on."""
        self.frozen_until = max(self.frozen_until, until)

    def resize(self, capacity: int) -> None:
        """The limit is another from now on, and so is our share of it."""
        if self._state != "alone":
            return
        share = max(1, floor(self._share * capacity))
        self.ration = min(share, self.ration or 0) if self._grows_at else share
        self.stretch = max(1.0, share / (self._share * capacity))

    # What came of an exchange with the store.

    def ask(self) -> None:
        """The store is asked: nobody in line had use for what it granted, or that lost its force meanwhile."""
        self._is_asking = True
        self._allowance = 0

    def end_exchange(self) -> None:
        """It has answered, or not."""
        self._is_asking = False

    def hear(self, until: float, granted: int = 0) -> None:
        """The store governs, and what it grants is good until then."""
        self.is_known, self.until = True, until
        if self._state != "governed":
            self._state, self._allowance = "governed", 0
            self.ration, self.stretch = None, 1.0
        self._allowance += granted

    def wait(self, until: float) -> None:
        """The store knows us, and does not govern yet, for it has forgotten."""
        self.is_known, self.until = True, until

    def acknowledge(self, ended: int, frozen_until: float) -> None:
        """The store has heard of so much that ended, and of freezes up to then."""
        self.unsaid -= ended
        if self.frozen_until <= frozen_until:  # no longer one came meanwhile
            self.frozen_until = 0.0

    def leave(self) -> None:
        """This process goes, and nothing of it is to be left to it."""
        self._state, self._allowance = "governed", 0

    def lose(self, capacity: int, own: int, *, grows_at: float) -> None:
        """The store is gone.

        Args:
            capacity: the limit's, of which we have a share.
            own: what we have out of it when we begin to live on the share.
            grows_at: when all that others may have spent has left every window.
        """
        self._state, self._allowance = "alone", 0
        self._grows_at = grows_at
        self.ration = own
        self.resize(capacity)

    def grow(self, capacity: int, now: float) -> bool:
        """Whether the ration has become the whole share now."""
        if self._state == "governed" or self._grows_at == 0.0 or now < self._grows_at:
            return False
        self._grows_at = 0.0
        self.resize(capacity)
        return True
