"""A venue's published limits as data, and what one call costs of them."""

from typing import Literal, NamedTuple

from msgspec import Struct


class Limit(Struct, frozen=True, kw_only=True):
    """At most `capacity` in any `window` seconds, wherever the window starts.

    Attributes:
        name: one word of the venue's limits, as in settings and metrics (`ip_weight`, `uid_calls`).
        scope: who shares it: all calls from one address, or one account.
        capacity: weight units per window.
        window: seconds.
        usage_header: the answer's header that tells the weight used in the venue's current wall-clock window, if any.
        clock_error: seconds by which our idea of that clock may be wrong.
    """

    name: str
    scope: Literal["ip", "account"]
    capacity: int
    window: float
    usage_header: str | None = None
    clock_error: float = 0.25


class LimitPolicy(Struct, frozen=True, kw_only=True):
    """What whoever runs us says of one limit.

    Attributes:
        capacity: in place of the published one.
        window: the same, in seconds.
        is_shared: other replicas on this address hold it with us.
        assume_spent: whether an earlier life may have spent it when we start; None: where no answer tells.
    """

    capacity: int | None = None
    window: float | None = None
    is_shared: bool = False
    assume_spent: bool | None = None


class Cost(NamedTuple):
    """What a call takes of one limit."""

    limit: str
    weight: int


class Usage(NamedTuple):
    """What the venue says is used of one limit in its current window, by everybody."""

    limit: str
    used: int
