"""Whether this instance may call for a partition now: it still owns it, and what it knows of the policy is current."""

from collections.abc import Callable

from gateway.clock import Clock
from gateway.ownership.lease import Lease
from gateway.ownership.ports import Ownership

NO_LEASE_PAUSE = 0.1  # seconds until it is looked at again whether the lease was renewed


class Fence:
    """Asked before every call, and once more between signature and sending.

    Attributes:
        is_draining: nothing new is started; what was begun is still read back.
    """

    def __init__(
        self, ownership: Ownership, lease: Lease, clock: Clock, *, may_begin: Callable[[], bool] = lambda: True
    ) -> None:
        """`may_begin`: whether the policy lets anything begin now."""
        self._ownership = ownership
        self._lease = lease
        self._clock = clock
        self._may_begin = may_begin
        self.is_draining = False

    def may_set(self, call_timeout: float) -> bool:
        """Whether a call that sets a value, and may take so many seconds, can start now."""
        return not self.is_draining and self._may_begin() and self.may_read(call_timeout)

    def may_read(self, call_timeout: float) -> bool:
        """The same of one that finishes what was begun."""
        return self._ownership.held and self._lease.allows(self._clock.monotonic(), call_timeout)
