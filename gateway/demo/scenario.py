"""The sample commands of the demo: what each shows, and what its answer should be.

`stage` sends them act by act, each act when the one before is answered; `report` puts the answers beside them.
"""

from decimal import Decimal
from typing import Literal

from msgspec import Struct

from schemas import BinanceMargin, BinancePortfolio, BinanceUsdm, LeverageChanged, Okx, Reason, Target, Ztdx
from schemas.events import Event

ACCOUNT = "desk-1"


class Sample(Struct, frozen=True, kw_only=True):
    """One command and its point.

    Attributes:
        shows: in words, for the table.
        expires_in: seconds from sending; None leaves it to the venue's deadline.
        expected: `changed`, or the reason of the rejection.
    """

    shows: str
    target: Target
    leverage: Decimal
    expected: Literal["changed"] | Reason = "changed"
    expires_in: float | None = None

    def met_by(self, event: Event | None) -> bool:
        """Whether the answer is the one that the sample was to show."""
        return event is not None and outcome(event) == self.expected


def outcome(event: Event) -> Literal["changed"] | Reason:
    """What became of a command, in one word."""
    return "changed" if isinstance(event, LeverageChanged) else event.reason


BTC, ETH = "BTCUSDT", "ETHUSDT"
SWAP = Okx(margin_mode="cross", instrument="BTC-USDT-SWAP")

EACH_VENUE = (
    Sample(shows="changed", target=BinanceMargin(), leverage=Decimal(5)),
    Sample(shows="changed", target=BinanceUsdm(symbol=BTC), leverage=Decimal(20)),
    Sample(shows="changed", target=BinancePortfolio(symbol=BTC), leverage=Decimal(10)),
    Sample(shows="changed", target=SWAP, leverage=Decimal(10)),
    Sample(shows="changed", target=Ztdx(symbol=BTC), leverage=Decimal(15)),
)
TROUBLE = (
    Sample(shows="refused by a rule, no call", target=BinanceMargin(), leverage=Decimal(7), expected="invalid"),
    Sample(
        shows="refused by the venue",
        target=BinanceUsdm(symbol=ETH),
        leverage=Decimal(125),
        expected="venue_rejected",
    ),
    Sample(shows="retried after a 503", target=BinancePortfolio(symbol=ETH), leverage=Decimal(5)),
    Sample(
        shows="throttled: one call a minute",
        target=BinanceMargin(),
        leverage=Decimal(3),
        expected="rate_limited",
        expires_in=20.0,
    ),
    Sample(shows="on its way to a slow venue", target=Ztdx(symbol=ETH), leverage=Decimal(10)),
)
NEWER = (
    Sample(shows="superseded while it waited", target=Ztdx(symbol=ETH), leverage=Decimal(15), expected="superseded"),
    Sample(shows="the newer one", target=Ztdx(symbol=ETH), leverage=Decimal(20)),
)
