"""A circuit breaker between us and one account at one venue: after failures in a row, only a probe now and then.

Before it, a command's turn; after it, its permit. Pure: it takes `now` in monotonic seconds and never waits.

```
closed ──failures in a row──▶ open ──reset seconds──▶ half open: one probe
  ▲                            ▲                          │
  └───────── succeeded ────────┼──────────────────────────┤
                               └───────── failed ─────────┘
```
"""

from msgspec import Struct


class BreakerPolicy(Struct, frozen=True, kw_only=True):
    """When to open and for how long.

    Attributes:
        failures: in a row, that open it.
        reset: seconds until a probe; also how long a probe may stay unanswered before the next.
    """

    failures: int
    reset: float


class Breaker:
    """The state of one breaker; a success closes it, whoever reports it."""

    __slots__ = ("_failures", "_policy", "_probe_at", "_probing")

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._failures = 0
        self._probe_at: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether calls are held back: open or half open. Time alone does not close it, a success does."""
        return self._probe_at is not None

    def allows(self, now: float) -> bool:
        """Whether a call may start now. In half-open state the first to ask is the probe, and must report."""
        if self._probe_at is None:
            return True
        if now < self._probe_at:
            return False
        self._probing = True
        self._probe_at = now + self._policy.reset
        return True

    def probe_at(self, now: float) -> float:
        """When it is worth asking `allows` again; `now` while closed."""
        return now if self._probe_at is None else max(now, self._probe_at)

    def succeeded(self) -> None:
        """The venue answered: closed."""
        self._failures = 0
        self._probe_at = None
        self._probing = False

    def reached(self, now: float) -> None:
        """The venue answered a call of another kind: that closes nothing, but a probe is worth it at once."""
        if self._probe_at is not None:
            self._probe_at = min(self._probe_at, now)
            self._probing = False

    def failed(self, now: float) -> None:
        """It did not. A call begun before the breaker opened does not prolong it; a failed probe does."""
        self._failures += 1
        if self._probing or (self._probe_at is None and self._failures >= self._policy.failures):
            self._probe_at = now + self._policy.reset
            self._probing = False
