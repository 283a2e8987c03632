"""Whether a call is made again, and when: tenacity's stop and wait, asked as plain judges.

`lane` asks after each outcome; what is waited for, and in which line, is the lane's own business.
"""

import random
from typing import Any, cast

from tenacity import RetryCallState, stop_after_attempt, wait_exponential

from gateway.outcomes import Ambiguous, ClockSkewed, Throttled, Unavailable

TRANSIENT = (Throttled, Unavailable, Ambiguous, ClockSkewed)
Transient = Throttled | Unavailable | Ambiguous | ClockSkewed
SLOW_FACTOR = 10  # a venue that says "minutes" is asked ten times less often


class FullJitter(wait_exponential):
    """Anything from nothing to the exponential back-off, as `wait_random_exponential`, with dice of our own.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    def __init__(self, jitter: random.Random, *, base: float, cap: float) -> None:
        super().__init__(multiplier=base, max=cap)
        self._jitter = jitter

    def __call__(self, retry_state: RetryCallState) -> float:
        """Seconds until the next try."""
        return self._jitter.uniform(0, super().__call__(retry_state))


class Again:
    """The judge of one venue's calls."""

    def __init__(self, jitter: random.Random, *, max_attempts: int, backoff_base: float, backoff_cap: float) -> None:
        """`backoff_base` and `backoff_cap` in seconds: the first bound of a pause, and the highest."""
        self._stop = stop_after_attempt(max_attempts)
        self._wait = FullJitter(jitter, base=backoff_base, cap=backoff_cap)

    def after(self, outcome: Transient, *, tries: int, attempts: int, left: float) -> float | None:
        """Seconds until another call may help; None where no call may, or none would come within `left` seconds.

        `tries` counts all outcomes of a command, `attempts` those for which something was sent.
        """
        pause = self._pause(outcome, tries)
        return None if self._stop(_state(attempts)) or pause >= left else pause

    def _pause(self, outcome: Transient, tries: int) -> float:
        """The venue's own hint first; a limit's pause is waited for in the line for its permit."""
        match outcome:
            case Throttled():
                return 0.0
            case ClockSkewed() if tries == 1:
                return 0.0
            case Unavailable(retry_after=float() as hint) if hint > 0:
                return hint
            case Unavailable(slow=True):
                return SLOW_FACTOR * self._wait(_state(tries))
            case _:
                return self._wait(_state(tries))


def _state(attempt_number: int) -> RetryCallState:
    state = RetryCallState(cast("Any", None), None, (), {})
    state.attempt_number = attempt_number
    return state
