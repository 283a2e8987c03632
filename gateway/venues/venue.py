"""What every venue can do: build a call, sign it, and say what an answer means. No I/O, no clock, no state."""

from collections.abc import Callable
from typing import Literal, Protocol

from msgspec import Struct

from gateway.limits.limit import Cost, Limit, Usage
from gateway.outcomes import Outcome
from gateway.transport.messages import HttpReply, HttpRequest
from gateway.venues.credentials import Credentials
from schemas import SetLeverage, VenueName

Purpose = Literal["set_leverage", "read_back", "server_time", "limits"]


class Call(Struct, frozen=True, kw_only=True):
    """One request before its signature: its costs are known, its timestamp is not.

    Attributes:
        purpose: the metrics' `endpoint` label too.
        path: from the host's root, without query.
        query: percent-encoded `name=value` pairs joined by `&`, without timestamp and signature.
        body: the exact bytes to send.
        costs: what to take of the venue's limits before sending.
    """

    purpose: Purpose
    method: Literal["GET", "POST"]
    path: str
    query: str = ""
    body: bytes = b""
    costs: tuple[Cost, ...] = ()

    @property
    def target(self) -> str:
        """Path and query, before a signature adds to them."""
        return f"{self.path}?{self.query}" if self.query else self.path


# Seconds. Binance gives its own backend ten and then answers -1007, "execution status unknown".
# OKX (50004, neither success nor failure) and ZTDX tell no number: the same is assumed of them.
SETTLES_WITHIN = 10.0


class LimitsReading(Struct, frozen=True):
    """How a venue that publishes its limits tells them as they are now.

    Attributes:
        call: what to ask.
        capacities: what an answer tells, by a limit's name; nothing where it tells none.
    """

    call: Call
    capacities: Callable[[HttpReply], dict[str, int]]


class Venue(Protocol):
    """One venue endpoint; implementations are stateless and shared by all accounts.

    Attributes:
        settles_within: seconds from receiving a call after which the venue lets it take effect no more.
    """

    name: VenueName
    base_url: str
    limits: tuple[Limit, ...]
    settles_within: float

    @property
    def publishing(self) -> LimitsReading | None:
        """How it tells its limits; None where it publishes none."""
        ...

    def broken_rule(self, command: SetLeverage) -> str | None:
        """The venue's rule that this command breaks, in words that say what would be right; None if none does."""
        ...

    def set_leverage(self, command: SetLeverage) -> Call:
        """The call that sets it."""
        ...

    def read_back(self, command: SetLeverage) -> Call | None:
        """The call that reads the lane's leverage; None where the venue has none."""
        ...

    def server_time(self) -> Call:
        """The call that reads the venue's clock."""
        ...

    def sign(self, call: Call, credentials: Credentials, timestamp_ms: int) -> HttpRequest:
        """The request as it goes on the wire, valid for the venue's receive window (5 s) from `timestamp_ms`."""
        ...

    def classify(self, command: SetLeverage, answer: HttpReply) -> Outcome:
        """What an answer to `set_leverage` means."""
        ...

    def classify_read_back(self, command: SetLeverage, answer: HttpReply) -> Outcome:
        """What an answer to `read_back` means; Applied carries the leverage found, whatever it is."""
        ...

    def server_time_ms(self, answer: HttpReply) -> int | None:
        """The venue's clock in milliseconds since 1970 UTC; None where the answer does not tell."""
        ...

    def usage(self, answer: HttpReply) -> tuple[Usage, ...]:
        """What the answer's headers say is used."""
        ...
