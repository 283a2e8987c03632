"""Binance's published limits, and what its answers tell of their use.

Windows are the venue's wall-clock minutes. Sources: the endpoints' pages ("Request Weight", "Request Limit"),
exchangeInfo `rateLimits` of fapi, and the general-info pages.
"""

from gateway.limits.limit import Limit, Usage
from gateway.transport.messages import HttpAnswer

MINUTE = 60.0

USDM = (Limit(name="ip_weight", scope="ip", capacity=2400, window=MINUTE, usage_header="X-MBX-USED-WEIGHT-1M"),)
PORTFOLIO = (Limit(name="ip_weight", scope="ip", capacity=6000, window=MINUTE, usage_header="X-MBX-USED-WEIGHT-1M"),)
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


def usage(limits: tuple[Limit, ...], answer: HttpAnswer) -> tuple[Usage, ...]:
    """What the answer's headers say is used of each limit that has a header."""
    found = ((limit.name, answer.headers.get(limit.usage_header or "", "")) for limit in limits)
    return tuple(Usage(name, int(used[:12])) for name, used in found if used.isdecimal() and used.isascii())
