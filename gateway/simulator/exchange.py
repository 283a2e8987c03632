"""One exchange with a simulated venue as values: the call as it was read, the reply, and the change it would make.

Everything in this room takes or gives one of these; `server` makes calls of requests and answers of replies.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

VenueWord = Literal["binance_margin", "binance_usdm", "binance_portfolio", "okx", "ztdx"]
VENUES: tuple[VenueWord, ...] = ("binance_margin", "binance_usdm", "binance_portfolio", "okx", "ztdx")
Purpose = Literal["set_leverage", "read_back", "server_time", "limits"]
Verdict = Literal["applied", "refused", "throttled", "banned", "unauthorised", "clock", "bad_request", "fault"]


class Call(Struct, kw_only=True):
    """One request, its bytes as they came.

    Attributes:
        path: without the venue's prefix and the query, as the venue's own host would see it.
        query: the raw query, percent-encoded or not.
        headers: looked up without regard to case.
        ip: the peer's address.
        server_ms: the venue's clock when the request was read.
    """

    venue: VenueWord
    method: str
    path: str
    query: str
    body: bytes
    headers: Mapping[str, str]
    ip: str
    server_ms: int


class Asked(Struct, frozen=True, kw_only=True):
    """What a call seems to ask, read leniently before anything is checked: for the journal and for faults.

    Attributes:
        account: the name of the account whose key it shows; empty where there is none.
        lane: empty where it cannot be told.
        value: decimal text; 0 where the leverage is missing or no number.
    """

    account: str = ""
    lane: str = ""
    value: str = "0"


class Change(Struct, frozen=True, kw_only=True):
    """A leverage that the venue would now keep."""

    account: str
    lane: str
    value: str


class Reply(Struct, frozen=True, kw_only=True):
    """What the venue says, and what it means in the journal's words; `change` is made unless a fault forbids it."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = {}
    content_type: str = "application/json"
    code: str | None = None
    verdict: Verdict = "applied"
    change: Change | None = None


def json_reply(tree: Any, *, change: Change | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    """A 200 with this as JSON."""
    return Reply(body=msgspec.json.encode(tree), change=change, headers=headers or {})
