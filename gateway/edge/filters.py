"""What a reader chose of what it may see: fields joined by AND, the values of one by OR."""

from collections.abc import Iterable
from typing import Self

from msgspec import Struct

from gateway.edge.record import Face
from gateway.edge.tokens import Rights


class ForbiddenAccountError(Exception):
    """Raised where somebody asks for an account that its token does not open."""


class Filter(Struct, frozen=True):
    """None of a field's values: all of them."""

    venues: frozenset[str] | None = None
    accounts: frozenset[str] | None = None
    lanes: frozenset[str] | None = None
    issuers: frozenset[str] | None = None

    @classmethod
    def of(
        cls,
        rights: Rights,
        *,
        venues: Iterable[str] | None = None,
        accounts: Iterable[str] | None = None,
        lanes: Iterable[str] | None = None,
        issuers: Iterable[str] | None = None,
    ) -> Self:
        """Make one for somebody; ForbiddenAccountError where it asks for more than the rights allow."""
        chosen = _set(accounts)
        for account in sorted(chosen or ()):
            if not rights.allow(account):
                raise ForbiddenAccountError(f"the token does not open account {account!r}")
        return cls(_set(venues), chosen, _set(lanes), _set(issuers))

    def takes(self, face: Face) -> bool:
        """Whether an event is one that was chosen."""
        return (
            (self.accounts is None or face.account in self.accounts)
            and (self.venues is None or face.target.venue in self.venues)
            and (self.lanes is None or face.lane in self.lanes)
            and (self.issuers is None or face.issuer in self.issuers)
        )


def _set(values: Iterable[str] | None) -> frozenset[str] | None:
    return None if values is None else frozenset(values)
