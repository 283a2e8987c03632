"""How fast a redrive goes: a few letters first, more as they succeed, and none where the venue could not do them. Pure.

A step is what one transaction sends. It doubles when what was answered of the step before succeeded, and begins at one
again when any failed; so does what may be unanswered at once. Where no gateway is there to answer there is nothing to
learn from: the letters wait in the log, and steps grow at once.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from msgspec import Struct

from gateway.client.dead_letters.health import AccountHealth
from schemas import VenueName

FIRST_STEP, LARGEST_STEP = 1, 64  # letters in one transaction
STEPS_UNANSWERED = 4  # at most, of the present size
ANSWERS_WITHIN = 90.0  # seconds for the next answer where answers are needed to go on
PROBE_AFTER = 30.0  # seconds from an account's last failure to the next letter for it
MOST_PROBES = 5  # of one account, all failed
DOWN_AFTER = 5  # failures in a row, as breakers have it by default
SUCCESS = frozenset({"changed", "superseded"})
Account = tuple[VenueName, str]


class StoppedError(Exception):
    """Raised where a redrive stopped before its plan was done; the same plan goes on from there."""


class PacePolicy(Struct, frozen=True, kw_only=True):
    """What the operator asked for.

    Attributes:
        rate: letters a second.
        stop_at: the share of answers that are a rejection again.
        down_after: failures in a row after which an account's venue is taken for down, by venue.
    """

    rate: float | None = None
    stop_at: float | None = None
    down_after: Mapping[str, int] = {}


class Pace:
    """When how many letters may go; `now` is monotonic, `wall` epoch seconds."""

    def __init__(self, policy: PacePolicy, *, is_answered: bool) -> None:
        """`is_answered`: whether a gateway is there; what is answered all the same shows it too."""
        self._policy = policy
        self._is_answered = is_answered
        self._step = FIRST_STEP
        self._unanswered: dict[str, Account] = {}
        self._last_step: frozenset[str] = frozenset()  # while it may still teach something
        self._has_failed = False  # any of the last step
        self._moved_at = float("-inf")  # when something was sent or answered
        self._next_at = float("-inf")  # by the rate
        self._probes: dict[Account, int] = {}
        self.answered, self.failed = 0, 0

    @property
    def size(self) -> int:
        """How many letters the next step may have: no more than a second's worth."""
        rate = self._policy.rate
        return self._step if rate is None else min(self._step, max(1, int(rate)))

    def sent(self, commands: Mapping[str, Account], now: float, *, probes: Collection[Account] = ()) -> None:
        """Count a step; what was sent to accounts on probe teaches nothing of the others."""
        self._unanswered |= commands
        self._last_step = frozenset(one for one, account in commands.items() if account not in probes)
        self._has_failed, self._moved_at = False, now
        for account in set(probes) & set(commands.values()):
            self._probes[account] = self._probes.get(account, 0) + 1
        if self._policy.rate is not None:
            self._next_at = max(now, self._next_at) + len(commands) / self._policy.rate

    def heard(self, outcomes: Mapping[str, str | None], now: float) -> None:
        """Count what was answered by now.

        Raises:
            StoppedError: too many failed again.
        """
        for command_id in [one for one in self._unanswered if outcomes.get(one) is not None]:
            del self._unanswered[command_id]
            self._moved_at = now
            self.answered += 1
            self._is_answered = True
            if outcomes[command_id] not in SUCCESS:
                self.failed += 1
                self._has_failed, self._step = True, FIRST_STEP
        self._learn()
        stop_at = self._policy.stop_at
        if stop_at is not None and self.failed and self.failed / self.answered >= stop_at:
            raise StoppedError(f"{self.failed} of {self.answered} that were answered failed again (--stop-at)")

    def _learn(self) -> None:
        left = sum(one in self._unanswered for one in self._last_step)
        if not self._last_step or (self._is_answered and 2 * left > len(self._last_step)):
            return
        if not self._has_failed:
            self._step = min(LARGEST_STEP, self._step * 2)
        self._last_step = frozenset()

    def why_wait(self, now: float) -> str | None:
        """Why nothing may be sent now; None where something may.

        Raises:
            StoppedError: answers are needed to go on, and none comes.
        """
        if now < self._next_at:
            return "it keeps to --rate"
        count = len(self._unanswered)
        needs_all = self._policy.stop_at is not None and count > 0
        is_full = count >= STEPS_UNANSWERED * self._step
        is_small = self._step < LARGEST_STEP and bool(self._last_step)
        if needs_all or (self._is_answered and (is_full or is_small)):
            self._check_patience(now)
            return f"{count} that were sent are not answered yet"
        return None

    def _check_patience(self, now: float) -> None:
        if now >= self._moved_at + ANSWERS_WITHIN:
            raise StoppedError(
                f"{len(self._unanswered)} that were sent are not answered, and none was for {ANSWERS_WITHIN:g} s: "
                "does a gateway run?"
            )

    def why_hold(
        self, account: Account, health: AccountHealth, *, brake_free_at: float, now: float, wall: float
    ) -> str | None:
        """Why letters of this account must wait for its venue; None where one may go.

        Raises:
            StoppedError: it was tried often enough.
        """
        venue, name = account
        if wall < brake_free_at:
            until = _at(brake_free_at)
            return f"the brake of {venue} is on till {until}: what fails again now would have no letter"
        if not self.is_probe(account, health):
            self._probes.pop(account, None)
            return None
        why = f"{venue} could not do the last {health.failures} of {name}"
        if account in self._unanswered.values():
            self._check_patience(now)
            return f"{why}; one more was sent, and is not answered yet"
        if self._probes.get(account, 0) >= MOST_PROBES:
            raise StoppedError(f"{why}, {MOST_PROBES} letters sent one by one among them")
        if wall < health.failed_at + PROBE_AFTER:
            return f"{why}; the next goes at {_at(health.failed_at + PROBE_AFTER)}"
        return None

    def is_probe(self, account: Account, health: AccountHealth) -> bool:
        """Whether a single letter must show that the venue is back."""
        return health.failures >= self._policy.down_after.get(account[0], DOWN_AFTER)


def _at(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%H:%M:%SZ")
