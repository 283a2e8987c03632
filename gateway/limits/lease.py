"""One replica's part of a bucket that several replicas share: what the store lets it have, or its fallback share.

Before it, `shared` talks to the store; after it, `bucket` grants no more than this allows. While the store is gone, the
replica lives on its share: in the first window, where no usage header tells what others spend, on those tokens of the
share that it had itself when the store went, as the rest may be spent by others. So shares that add up to no more than
one keep every window.
"""

from math import floor


class Lease:
    """What may be granted of one shared bucket without asking again.

    Attributes:
        is_open: the store answers and governs; otherwise the ration does.
        allowance: weight that the store has granted and no call holds yet.
        ended: weight of calls that have ended, which the store does not know yet.
        frozen_until: a freeze that the store does not know yet (monotonic), or 0.
        paused: nothing is granted on the ration while the store is asked: what it is told must stay true.
        ration: the most that may be held and spent of our own while the store does not govern.
        stretch: how much longer than a window a token of a share of less than one token stays away.
    """

    __slots__ = ("_grows_at", "_share", "allowance", "ended", "frozen_until", "is_open", "paused", "ration", "stretch")

    def __init__(self, share: float) -> None:
        self._share = share
        self._grows_at = 0.0
        self.is_open = False
        self.allowance = 0
        self.ended = 0
        self.frozen_until = 0.0
        self.paused = False
        self.ration: int | None = 0
        self.stretch = 1.0

    def covers(self, weight: int) -> bool:
        """Whether the store need not be asked first."""
        return self.allowance >= weight if self.is_open else not self.paused

    def take(self, weight: int) -> None:
        """A call holds it now."""
        if self.is_open:
            self.allowance -= weight

    def give_back(self, weight: int) -> None:
        """It was not used."""
        if self.is_open:
            self.allowance += weight

    def open(self) -> None:
        """The store governs from now on."""
        if not self.is_open:
            self.is_open = True
            self.allowance = 0
            self.ration, self.stretch = None, 1.0

    def fall_back(self, capacity: int, own: int, *, counted: bool, until: float) -> None:
        """The store is gone.

        Args:
            capacity: the limit's, of which we have a share.
            own: what we hold and have spent of it.
            counted: a usage header tells what others spend.
            until: when all that others may have spent has left every window.
        """
        self.is_open = False
        self.allowance = 0
        self._grows_at = 0.0 if counted else until
        share = max(1, floor(self._share * capacity))
        self.ration = share if counted else min(share, own)
        self.stretch = max(1.0, share / (self._share * capacity))

    def grow(self, capacity: int, now: float) -> bool:
        """Whether the ration has become the whole share now."""
        if self.is_open or self._grows_at == 0.0 or now < self._grows_at:
            return False
        self._grows_at = 0.0
        self.ration = max(1, floor(self._share * capacity))
        return True
