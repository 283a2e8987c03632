"""One replica's part of a bucket that several replicas share: what the store lets it have, or its fallback share.

Before it, `shared` talks to the store; after it, `bucket` grants no more than this allows. What the store grants is
good for a term after its word. From the end of the term on the replica lives on its share: at first on those tokens of
it that it has out itself then, as the rest may be spent by others; on all of it once their last calls have ended and
left every window. A usage header tells too late what others spend to take it sooner. So shares that add up to no more
than one keep every window; not a share of less than one token, which is one token that stays away for longer.
"""

from math import floor


class Allotment:
    """What may be granted of one shared bucket without asking again.

    Attributes:
        is_open: the store answers and governs.
        is_alone: it does not, and the ration does. Before it was heard or lost neither governs, and nothing is granted.
        is_known: the store has heard of it from this process.
        until: when the store's last word loses its force, or our last failure to hear one (monotonic).
        allowance: weight that the store has granted and no call holds yet.
        ended: weight of calls that have ended, which the store does not know yet.
        frozen_until: a freeze that the store does not know yet (monotonic), or 0.
        paused: nothing is granted on the ration while the store is asked: what it is told must stay true.
        ration: the most that may be held and spent of our own while the store does not govern.
        stretch: how much longer than a window a token of a share of less than one token stays away.
    """

    __slots__ = (
        "_grows_at",
        "_share",
        "allowance",
        "call_timeout",
        "ended",
        "frozen_until",
        "is_alone",
        "is_known",
        "is_open",
        "paused",
        "ration",
        "stretch",
        "until",
    )

    def __init__(self, share: float, call_timeout: float) -> None:
        self._share = share
        self._grows_at = 0.0
        self.call_timeout = call_timeout
        self.is_open = False
        self.is_alone = False
        self.is_known = False
        self.until = 0.0
        self.allowance = 0
        self.ended = 0
        self.frozen_until = 0.0
        self.paused = False
        self.ration: int | None = 0
        self.stretch = 1.0

    def covers(self, weight: int, now: float) -> bool:
        """Whether the store need not be asked first."""
        return now < self.until and (self.allowance >= weight if self.is_open else not self.paused)

    def take(self, weight: int) -> None:
        """A call holds it now."""
        if self.is_open:
            self.allowance -= weight

    def give_back(self, weight: int) -> None:
        """It was not used."""
        if self.is_open:
            self.allowance += weight

    def open(self, until: float) -> None:
        """The store governs, and what it grants is good until then."""
        self.until = until
        if not self.is_open:
            self.is_open, self.is_alone = True, False
            self.allowance = 0
            self.ration, self.stretch = None, 1.0

    def fall_back(self, capacity: int, own: int, *, until: float) -> None:
        """The store is gone.

        Args:
            capacity: the limit's, of which we have a share.
            own: what we have out of it when we begin to live on the share.
            until: when all that others may have spent has left every window.
        """
        self.is_open, self.is_alone = False, True
        self.allowance = 0
        self._grows_at = until
        self.ration = own
        self.resize(capacity)

    def resize(self, capacity: int) -> None:
        """The limit is another from now on, and so is our share of it."""
        if self.ration is None or not self.is_alone:
            return
        share = max(1, floor(self._share * capacity))
        self.ration = min(share, self.ration) if self._grows_at else share
        self.stretch = max(1.0, share / (self._share * capacity))

    def grow(self, capacity: int, now: float) -> bool:
        """Whether the ration has become the whole share now."""
        if self.is_open or self._grows_at == 0.0 or now < self._grows_at:
            return False
        self._grows_at = 0.0
        self.resize(capacity)
        return True
