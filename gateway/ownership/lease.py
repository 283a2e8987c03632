"""Until when this instance may start calls for what it owns: the fence that Kafka does not put around HTTP.

An offset commit that the group's coordinator accepts proves ownership, and the coordinator gives the partition to
nobody else before one session timeout has passed since. A lease no longer than that, in which every call ends that
starts in it, can therefore never overlap a call of the next owner, not even when this process is stopped for a while
and wakes up. To a process with the same instance id (static membership, KIP-345) the partition goes at once; so that
one waits out the lease instead.
"""

from collections.abc import Iterable

from msgspec import Struct


class Afterlife(Struct, frozen=True, kw_only=True):
    """How long an owner that did not leave in order may go on, counted from the takeover by its successor; in seconds.

    Attributes:
        starts: until it starts no call any more; 0: it was over by then.
        arrives: until none of its calls reaches a venue any more, to count there.
        takes_effect: until none of its calls takes effect any more.
    """

    starts: float
    arrives: float
    takes_effect: float


def afterlife(lease: float, calls: Iterable[tuple[float, float]], *, static: bool) -> Afterlife:
    """What the settings allow; `calls`: each venue's timeout, and within what time of its start a call takes effect.

    A dynamic member's lease has ended when its partition is another's. A static one may live on beside its successor,
    and start calls for as long as a lease less a call's timeout after its last accepted commit, which came before its
    successor joined.
    """
    venues = [(max(0.0, lease - timeout) if static else 0.0, timeout, settles) for timeout, settles in calls]
    return Afterlife(
        starts=max((starts for starts, _, _ in venues), default=0.0),
        arrives=max((starts + timeout for starts, timeout, _ in venues), default=0.0),
        takes_effect=max((starts + settles for starts, _, settles in venues), default=0.0),
    )


class Lease:
    """The time won by the last accepted commit; `now` is monotonic seconds that run on while the process is stopped."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = float("-inf")

    def renew(self, commit_begun: float) -> None:
        """Take note of an accepted commit by the time at which it was begun."""
        self._until = max(self._until, commit_begun + self._seconds)

    def end(self) -> None:
        """Give it up at once."""
        self._until = float("-inf")

    def allows(self, now: float, call_timeout: float) -> bool:
        """Whether a call that may take `call_timeout` can start now."""
        return now + call_timeout < self._until

    def remaining(self, now: float) -> float:
        """Seconds left, at least 0."""
        return max(0.0, self._until - now)
