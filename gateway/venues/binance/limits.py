"""Binance's published limits, and what its answers tell of their use.

Windows are the venue's wall-clock minutes. Sources: the endpoints' pages ("Request Weight", "Request Limit"),
exchangeInfo `rateLimits` of fapi, and the general-info pages.
"""

from functools import partial

import msgspec
from msgspec import Struct

from gateway.limits.limit import Cost, Limit, Usage
from gateway.transport.messages import OK, HttpReply
from gateway.venues.venue import Call, LimitsReading

MINUTE = 60.0
SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86_400}
CAPACITIES = range(1, 10_000_000)

USDM = (Limit(name="ip_weight", scope="ip", capacity=2400, window=MINUTE, usage_header="X-MBX-USED-WEIGHT-1M"),)
PORTFOLIO = (
    Limit(
        name="ip_weight",
        scope="ip",
        capacity=6000,
        window=MINUTE,
        usage_header="X-MBX-USED-WEIGHT-1M",
        clock_error=0.75,  # papi's clock is known by `Date`: to half a second, and half the round trip
    ),
)
MARGIN = (
    Limit(
        name="uid_weight",
        scope="account",
        capacity=180_000,
        window=MINUTE,
        usage_header="X-SAPI-USED-UID-WEIGHT-1M",
    ),
    Limit(name="ip_calls", scope="ip", capacity=1, window=MINUTE),
)


def usage(limits: tuple[Limit, ...], answer: HttpReply) -> tuple[Usage, ...]:
    """What the answer's headers say is used of each limit that has a header."""
    found = ((limit.name, answer.headers.get(limit.usage_header or "", "")) for limit in limits)
    return tuple(Usage(name, int(used[:12])) for name, used in found if used.isdecimal() and used.isascii())


class RateLimit(Struct, frozen=True, rename="camel"):
    """One entry of exchangeInfo's `rateLimits`."""

    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int


class ExchangeInfo(Struct, frozen=True, rename="camel"):
    """What is read of exchangeInfo; all that it says of symbols is skipped."""

    rate_limits: list[RateLimit]


def exchange_info(limits: tuple[Limit, ...], path: str) -> LimitsReading:
    """The endpoint exchangeInfo, weight 1."""
    call = Call(purpose="limits", method="GET", path=path, costs=(Cost("ip_weight", 1),))
    return LimitsReading(call, partial(published, limits))


def published(limits: tuple[Limit, ...], answer: HttpReply) -> dict[str, int]:
    """What exchangeInfo says that the address's weight may be in a window of ours; nothing where it says nothing."""
    try:
        info = msgspec.json.decode(answer.body, type=ExchangeInfo) if answer.status == OK else None
    except (ValueError, RecursionError):
        return {}
    told = {
        float(SECONDS.get(said.interval, 0) * said.interval_num): said.limit
        for said in (info.rate_limits if info else ())
        if said.rate_limit_type == "REQUEST_WEIGHT" and said.limit in CAPACITIES
    }
    return {limit.name: told[limit.window] for limit in limits if limit.scope == "ip" and limit.window in told}
