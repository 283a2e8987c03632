"""What every simulated venue offers to the server: its endpoints by method and path, and a first look at a call."""

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from gateway.simulator.exchange import Asked, Call, Purpose, Reply, VenueWord
from gateway.simulator.gate import Cost


class Endpoint(Struct, frozen=True, kw_only=True):
    """One path of a venue.

    Attributes:
        costs: what each call takes of the venue's limits.
        answer: judges a call; it changes nothing, the reply says what would change.
        signed: whether a key is needed.
    """

    purpose: Purpose
    answer: Callable[[Call], Reply]
    costs: tuple[Cost, ...] = ()
    signed: bool = True


class SimulatedVenue(Protocol):
    """One venue; its state is what it is given: holders of keys, and holdings."""

    word: VenueWord

    @property
    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        """By method and path."""
        ...

    def account_of(self, call: Call) -> str:
        """The name of the account whose key the call shows; empty where none has it."""
        ...

    def asked(self, call: Call) -> Asked:
        """What a set-leverage call seems to ask; never fails."""
        ...
