"""Binance USD-M futures and portfolio margin: POST /fapi/v1/leverage and POST /papi/v1/um/leverage, by symbol."""

from urllib.parse import quote

from gateway.limits.limit import Cost, Limit, Usage
from gateway.outcomes import Ambiguous, Applied, Outcome
from gateway.transport.messages import OK, HttpReply, HttpRequest
from gateway.venues.binance import codes, limits, signing
from gateway.venues.binance.classify import TEXTS_OF_503, Family, classify, echoed
from gateway.venues.binance.margin import server_time_ms
from gateway.venues.credentials import Credentials
from gateway.venues.reply import date, json_body, number, objects
from gateway.venues.rules import broken_integer_rule, plain
from gateway.venues.venue import SETTLES_WITHIN, Call
from schemas import SetLeverage, VenueName

LIMIT = "ip_weight"
READ_BACK_WEIGHT = 5
FAMILY = Family(codes=codes.FUTURES, texts_of_503=TEXTS_OF_503, limit=LIMIT)
PING = "/papi/v1/ping"


class FuturesVenue:
    """One of the two by-symbol endpoints; they differ in host, path and clock only."""

    def __init__(
        self,
        name: VenueName,
        *,
        base_url: str,
        prefix: str,
        clock_path: str,
        venue_limits: tuple[Limit, ...],
        limits_path: str | None = None,
    ) -> None:
        self.name: VenueName = name
        self.base_url = base_url
        self.limits = venue_limits
        self.settles_within = SETTLES_WITHIN
        self._prefix = prefix
        self._clock_path = clock_path
        self.publishing = limits.exchange_info(venue_limits, limits_path) if limits_path else None  # papi has none

    def broken_rule(self, command: SetLeverage) -> str | None:
        """Integers from 1; the maximum is the symbol's own (its first bracket) and only the venue knows it."""
        return broken_integer_rule(command.leverage)

    def set_leverage(self, command: SetLeverage) -> Call:
        """Weight 1 of the address."""
        return Call(
            purpose="set_leverage",
            method="POST",
            path=f"{self._prefix}/leverage",
            query=f"symbol={symbol(command)}&leverage={plain(command.leverage)}",
            costs=(Cost(LIMIT, 1),),
        )

    def read_back(self, command: SetLeverage) -> Call | None:
        """The endpoint symbolConfig tells the leverage with and without a position; weight 5."""
        return Call(
            purpose="read_back",
            method="GET",
            path=f"{self._prefix}/symbolConfig",
            query=f"symbol={symbol(command)}",
            costs=(Cost(LIMIT, READ_BACK_WEIGHT),),
        )

    def server_time(self) -> Call:
        """The clock of fapi; papi has none, so its ping is asked and the answer's `Date` is read.

        That is right to half a second and half the round trip, well inside the window (1 s ahead, 5 s behind). Another
        product's clock would be finer, but on another host: not the clock that judges us, and not where `base_url` is.
        """
        return Call(purpose="server_time", method="GET", path=self._clock_path, costs=(Cost(LIMIT, 1),))

    def sign(self, call: Call, credentials: Credentials, timestamp_ms: int) -> HttpRequest:
        """With recvWindow, timestamp, and the signature last."""
        return signing.sign(call, credentials, timestamp_ms)

    def classify(self, command: SetLeverage, answer: HttpReply) -> Outcome:
        """What an answer to `set_leverage` means."""
        return classify(answer, FAMILY, lambda body: echoed(command, body))

    def classify_read_back(self, command: SetLeverage, answer: HttpReply) -> Outcome:
        """The symbol's row of symbolConfig."""
        return read_rows(command, answer, FAMILY)

    def server_time_ms(self, answer: HttpReply) -> int | None:
        """The `serverTime` field; after a ping the middle of the second that the `Date` header names."""
        if self._clock_path != PING:
            return server_time_ms(answer)
        seconds = date(answer) if answer.status == OK else None
        return None if seconds is None else int(seconds * 1000) + 500

    def usage(self, answer: HttpReply) -> tuple[Usage, ...]:
        """The address's weight this minute."""
        return limits.usage(self.limits, answer)


def usdm() -> FuturesVenue:
    """USD-M futures."""
    return FuturesVenue(
        "binance_usdm",
        base_url="https://fapi.binance.com",
        prefix="/fapi/v1",
        clock_path="/fapi/v1/time",
        venue_limits=limits.USDM,
        limits_path="/fapi/v1/exchangeInfo",
    )


def portfolio() -> FuturesVenue:
    """Portfolio margin, USD-M side."""
    return FuturesVenue(
        "binance_portfolio",
        base_url="https://papi.binance.com",
        prefix="/papi/v1/um",
        clock_path=PING,
        venue_limits=limits.PORTFOLIO,
    )


def symbol(command: SetLeverage) -> str:
    """The symbol, percent-encoded as UTF-8: some have characters outside of ASCII."""
    return quote(getattr(command.target, "symbol", ""), safe="")


def read_rows(command: SetLeverage, answer: HttpReply, family: Family) -> Outcome:
    """The leverage that a list of rows (or a lone row) tells for the command's symbol, or why it is not told."""
    if answer.status != OK:
        return classify(answer, family, lambda _: Ambiguous())
    body = json_body(answer)
    for row in objects(body) or objects([body]):
        leverage = number(row.get("leverage"))
        if row.get("symbol") == getattr(command.target, "symbol", "") and leverage is not None:
            notional = number(row.get("maxNotionalValue"))
            return Applied(leverage=leverage, max_notional=notional, certainty="read_back")
    return Ambiguous(message="the read-back does not tell the symbol's leverage", http_status=OK)
