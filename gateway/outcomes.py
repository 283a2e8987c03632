"""What became of one venue call: a value, never an exception.

```
Applied        the venue has the value                     -> LeverageChanged
Rejection      terminal: asking again would not help       -> LeverageRejected venue_rejected
Throttled      a limit or a ban; nothing was applied       -> wait until it ends, again
Unavailable    definitely not applied, and transient       -> back off, again
Ambiguous      sent, and nobody knows                      -> read back, or again with the same value
KeyRejection   the key, its permissions or its address     -> stop the account at that venue
ClockSkewed    our timestamp was outside the window        -> measure the offset, once again at once
```
"""

from decimal import Decimal

from msgspec import Struct

from schemas import Certainty, Reason


class _Reply(Struct, frozen=True, kw_only=True):
    """What the venue said, for the event: its own code, its text (never ours to trust), the HTTP status."""

    code: str | None = None
    message: str = ""
    http_status: int | None = None


class Applied(Struct, frozen=True, kw_only=True):
    """The venue has this leverage; None where it echoes none and the asked value is meant."""

    leverage: Decimal | None = None
    max_notional: Decimal | None = None
    certainty: Certainty = "confirmed"


class Rejection(_Reply, frozen=True, kw_only=True):
    """The venue's rules or the account's state forbid it."""


class Throttled(_Reply, frozen=True, kw_only=True):
    """A limit was met.

    Attributes:
        limit: the name of the venue's limit whose scope must pause; None for all limits that the call touched.
        retry_after: seconds from now until the pause ends, where the venue says so.
        until: seconds since 1970 UTC when a ban ends, where the venue says so.
        banned: the venue punishes (418) rather than counts (429).
    """

    limit: str | None = None
    retry_after: float | None = None
    until: float | None = None
    banned: bool = False


class Unavailable(_Reply, frozen=True, kw_only=True):
    """The venue could not, or was not reached; slow: it will take minutes rather than seconds."""

    slow: bool = False
    retry_after: float | None = None


class Ambiguous(_Reply, frozen=True, kw_only=True):
    """The call may have been applied."""


class KeyRejection(_Reply, frozen=True, kw_only=True):
    """The venue does not accept this key for this."""


class ClockSkewed(_Reply, frozen=True, kw_only=True):
    """The venue's clock and ours differ by more than its window."""


Outcome = Applied | Rejection | Throttled | Unavailable | Ambiguous | KeyRejection | ClockSkewed


class Refusal(Struct, frozen=True, kw_only=True):
    """The gateway's own no; times are wall seconds."""

    reason: Reason
    message: str
    superseded_by: str | None = None
    retry_at: float | None = None
    policy_version: str | None = None
    policy_rules: tuple[str, ...] = ()
