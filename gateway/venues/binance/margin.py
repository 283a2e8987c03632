"""Binance cross margin: POST /sapi/v1/margin/max-leverage, one setting for the whole account.

No leverage is echoed, and none can be read back. `timestamp` and `signature` are sent though the endpoint's table omits
them, and no `recvWindow`, as the official SDK does it.
"""

from typing import Any

from msgspec import structs

from gateway.limits.limit import Cost, Usage
from gateway.outcomes import Ambiguous, Applied, Outcome
from gateway.transport.messages import CLIENT_ERROR, OK, HttpReply, HttpRequest
from gateway.venues.binance import codes, limits, signing
from gateway.venues.binance.classify import Family, classify, failed
from gateway.venues.credentials import Credentials
from gateway.venues.reply import json_object
from gateway.venues.rules import broken_integer_rule, plain
from gateway.venues.venue import SETTLES_WITHIN, Call
from schemas import SetLeverage, VenueName

WEIGHT = 3000
TIMES_MS = range(10**12, 10**14)  # the years 2001 to 5138
GRANTED = (3, 5, 10, 20)
FAMILY = Family(codes=codes.MARGIN)


class BinanceMarginVenue:
    """The cross-margin endpoint."""

    name: VenueName = "binance_margin"
    base_url = "https://api.binance.com"
    limits = limits.MARGIN
    publishing = None  # no endpoint tells the limits of sapi
    settles_within = SETTLES_WITHIN

    def broken_rule(self, command: SetLeverage) -> str | None:
        """3 and 5 are Classic, 10 is Pro, 20 is Pro where compliance allows: the venue decides that."""
        broken = broken_integer_rule(command.leverage)
        if broken is None and command.leverage not in GRANTED:
            return f"cross margin takes 3, 5, 10 or (where allowed) 20, not {plain(command.leverage)}"
        return broken

    def set_leverage(self, command: SetLeverage) -> Call:
        """One call a minute and address, and 3000 of the account's weight."""
        return Call(
            purpose="set_leverage",
            method="POST",
            path="/sapi/v1/margin/max-leverage",
            query=f"maxLeverage={plain(command.leverage)}",
            costs=(Cost("uid_weight", WEIGHT), Cost("ip_calls", 1)),
        )

    def read_back(self, command: SetLeverage) -> Call | None:  # noqa: ARG002 - the same for every command
        """No endpoint tells the cross-margin leverage."""
        return None

    def server_time(self) -> Call:
        """Spot's clock, on the same host; its weight counts for /api, not for /sapi."""
        return Call(purpose="server_time", method="GET", path="/api/v3/time")

    def sign(self, call: Call, credentials: Credentials, timestamp_ms: int) -> HttpRequest:
        """As the official SDK: no recvWindow, so the venue's default of 5 s holds."""
        return signing.sign(call, credentials, timestamp_ms, receive_window=False)

    def classify(self, command: SetLeverage, answer: HttpReply) -> Outcome:  # noqa: ARG002 - nothing is echoed
        """What an answer to `set_leverage` means."""
        return classify(answer, FAMILY, _read_200)

    def classify_read_back(self, command: SetLeverage, answer: HttpReply) -> Outcome:  # noqa: ARG002 - never called for
        """There is none."""
        return Ambiguous(message="this venue has nothing to read back", http_status=answer.status)

    def server_time_ms(self, answer: HttpReply) -> int | None:
        """The `serverTime` field."""
        return server_time_ms(answer)

    def usage(self, answer: HttpReply) -> tuple[Usage, ...]:
        """The account's weight on this endpoint."""
        return limits.usage(self.limits, answer)


def server_time_ms(answer: HttpReply) -> int | None:
    """`{"serverTime": ms}`, as all of Binance's clocks answer."""
    found = (json_object(answer) or {}).get("serverTime")
    return found if answer.status == OK and isinstance(found, int) and found in TIMES_MS else None


def _read_200(body: dict[str, Any]) -> Outcome:
    if body.get("success") is True:
        return Applied()
    if body.get("success") is False:
        return structs.replace(
            failed(CLIENT_ERROR, body, FAMILY), http_status=OK
        )  # seen in the field: an error in a 200
    return Ambiguous(message="a 200 that says neither success nor failure", http_status=OK)
