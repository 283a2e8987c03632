"""Until when this instance may start calls for what it owns: the fence that Kafka does not put around HTTP.

An offset commit that the group's coordinator accepts proves ownership, and the coordinator gives the partition to
nobody else before one session timeout has passed since. A call that starts early enough to end within it can therefore
never overlap a call of the next owner, not even when this process is stopped for a while and wakes up. To a process
with the same instance id (static membership, KIP-345) the partition goes at once; so that one waits instead.
"""


def quarantine(settles_within: float, call_timeout: float, session_timeout: float, *, static: bool) -> float:
    """Seconds after a takeover from an owner that did not leave in order, until none of its calls can take effect.

    A dynamic member's lease has ended when its partition is another's. A static one may live on beside its successor,
    and start calls for as long as a session less a call's time-out after its last accepted commit.
    """
    return session_timeout - call_timeout + settles_within if static else settles_within


class Lease:
    """The time won by the last accepted commit; `now` is monotonic seconds that run on while the process is stopped."""

    def __init__(self, session_timeout: float) -> None:
        self._session_timeout = session_timeout
        self._until = float("-inf")

    def renew(self, commit_begun: float) -> None:
        """Take note of an accepted commit by the time at which it was begun."""
        self._until = max(self._until, commit_begun + self._session_timeout)

    def end(self) -> None:
        """Give it up at once."""
        self._until = float("-inf")

    def allows(self, now: float, call_timeout: float) -> bool:
        """Whether a call that may take `call_timeout` can start now."""
        return now + call_timeout < self._until

    def remaining(self, now: float) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self._until - now)
