"""What `set_leverage` raises: one class a reason, each with the event that says it.

```
Rejected
├─ Invalid           the command breaks a rule
├─ UnknownAccount    the gateway has no credentials for it
├─ Policy            the gateway's policy forbids it
├─ Expired           it could not be sent in time
├─ Superseded        a newer command of the lane came first
├─ VenueRejected     the venue said no
├─ Unauthorised      the venue does not accept the key
├─ RateLimited       there was no budget in time; `retry_at`
├─ VenueUnavailable  the venue could not be reached, or could not do it
└─ OutcomeUnknown    it was sent, and nobody can say what became of it
```
"""

from gateway.client.lanes import LaneKey
from schemas import LeverageRejected, Reason, Timestamp


class Rejected(Exception):  # noqa: N818 - the contract's name
    """The gateway's answer to a command is no; `event` says why."""

    def __init__(self, event: LeverageRejected) -> None:
        super().__init__(f"{event.reason}: {event.message}")
        self.event = event

    @property
    def lane(self) -> LaneKey:
        """The lane that keeps the leverage it has."""
        return LaneKey.of(self.event)

    @property
    def retry_at(self) -> Timestamp | None:
        """Not before this, where the gateway or the venue knows."""
        return self.event.retry_at


class Invalid(Rejected):
    """The command breaks a rule; the message says which."""


class UnknownAccount(Rejected):
    """The gateway has no credentials for this account at this venue."""


class Policy(Rejected):
    """The gateway's policy forbids it."""


class Expired(Rejected):
    """It could not be sent in time."""


class Superseded(Rejected):
    """A newer command of the lane came first; `event.superseded_by` names it."""


class VenueRejected(Rejected):
    """The venue said no."""


class Unauthorised(Rejected):
    """The venue does not accept the account's key."""


class RateLimited(Rejected):
    """There was no budget in time."""


class VenueUnavailable(Rejected):
    """The venue could not be reached, or could not do it."""


class OutcomeUnknown(Rejected):
    """It was sent, and nobody can say whether it was applied."""


def rejection(event: LeverageRejected) -> Rejected:
    """Return the exception for an event's reason."""
    return _BY_REASON[event.reason](event)


_BY_REASON: dict[Reason, type[Rejected]] = {
    "invalid": Invalid,
    "unknown_account": UnknownAccount,
    "policy": Policy,
    "expired": Expired,
    "superseded": Superseded,
    "venue_rejected": VenueRejected,
    "unauthorised": Unauthorised,
    "rate_limited": RateLimited,
    "venue_unavailable": VenueUnavailable,
    "outcome_unknown": OutcomeUnknown,
}
