"""The ZTDX venue: its calls, and what its answers mean."""

import msgspec

from gateway.limits.limit import Cost, Usage
from gateway.outcomes import Outcome
from gateway.transport.messages import HttpReply, HttpRequest
from gateway.venues.binance.classify import TEXTS_OF_503, Family, classify, echoed
from gateway.venues.binance.futures import read_rows, symbol
from gateway.venues.binance.limits import exchange_info
from gateway.venues.binance.margin import server_time_ms
from gateway.venues.credentials import Credentials
from gateway.venues.rules import broken_integer_rule
from gateway.venues.venue import SETTLES_WITHIN, Call
from gateway.venues.ztdx import signing
from gateway.venues.ztdx.codes import CODES
from gateway.venues.ztdx.limits import ZTDX
from schemas import SetLeverage, VenueName

LIMIT = "ip_weight"
READ_BACK_WEIGHT = 5
FAMILY = Family(codes=CODES, texts_of_503=TEXTS_OF_503, limit=LIMIT)  # its statuses are copied from Binance's pages


class ZtdxVenue:
    """The leverage endpoint; the value is kept per user and symbol and concerns later orders only."""

    name: VenueName = "ztdx"
    base_url = "https://api.ztdx.io"
    limits = ZTDX
    publishing = exchange_info(ZTDX, "/fapi/v1/exchangeInfo")
    settles_within = SETTLES_WITHIN

    def broken_rule(self, command: SetLeverage) -> str | None:
        """Integers; the symbol's own band is the venue's to check (-4028)."""
        return broken_integer_rule(command.leverage)

    def set_leverage(self, command: SetLeverage) -> Call:
        """Compact JSON, serialised once: the bytes that are signed are the bytes that are sent."""
        fields = {"symbol": getattr(command.target, "symbol", ""), "leverage": int(command.leverage)}
        return Call(
            purpose="set_leverage",
            method="POST",
            path="/fapi/v1/leverage",
            body=msgspec.json.encode(fields),
            costs=(Cost(LIMIT, 1),),
        )

    def read_back(self, command: SetLeverage) -> Call | None:
        """The endpoint positionRisk tells the leverage of a symbol."""
        return Call(
            purpose="read_back",
            method="GET",
            path="/fapi/v1/positionRisk",
            query=f"symbol={symbol(command)}",
            costs=(Cost(LIMIT, READ_BACK_WEIGHT),),
        )

    def server_time(self) -> Call:
        """As Binance's."""
        return Call(purpose="server_time", method="GET", path="/fapi/v1/time", costs=(Cost(LIMIT, 1),))

    def sign(self, call: Call, credentials: Credentials, timestamp_ms: int) -> HttpRequest:
        """Query and body."""
        return signing.sign(call, credentials, timestamp_ms)

    def classify(self, command: SetLeverage, answer: HttpReply) -> Outcome:
        """What an answer to `set_leverage` means; the echo must be what was asked."""
        return classify(answer, FAMILY, lambda body: echoed(command, body))

    def classify_read_back(self, command: SetLeverage, answer: HttpReply) -> Outcome:
        """The symbol's row."""
        return read_rows(command, answer, FAMILY)

    def server_time_ms(self, answer: HttpReply) -> int | None:
        """The `serverTime` field."""
        return server_time_ms(answer)

    def usage(self, answer: HttpReply) -> tuple[Usage, ...]:  # noqa: ARG002 - no header is confirmed
        """No page confirms a usage header."""
        return ()
