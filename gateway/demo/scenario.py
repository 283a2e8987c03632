"""The sample commands of the demo: what each shows, what goes wrong at the venue, and what its answer should be.

`play` sends them act by act; `report` puts the answers beside them.
"""

from decimal import Decimal
from typing import Literal

from msgspec import Struct

from gateway.simulator import Fault
from schemas import BinanceMargin, BinancePortfolio, BinanceUsdm, LeverageChanged, Okx, Reason, Target, Ztdx
from schemas.events import Event

ACCOUNT = "desk-1"


class Sample(Struct, frozen=True, kw_only=True):
    """One command and its point.

    Attributes:
        shows: in words, for the table.
        fault: what the simulated venue does to it, once.
        expires_in: seconds from sending; None leaves it to the venue's deadline.
        expected: `changed`, or the reason of the rejection.
    """

    shows: str
    target: Target
    leverage: Decimal
    expected: Literal["changed"] | Reason = "changed"
    fault: Fault | None = None
    expires_in: float | None = None

    def met_by(self, event: Event | None) -> bool:
        """Whether the answer is the one that the sample was to show."""
        return event is not None and outcome(event) == self.expected


def outcome(event: Event) -> Literal["changed"] | Reason:
    """What became of a command, in one word."""
    return "changed" if isinstance(event, LeverageChanged) else event.reason


BTC, ETH, SOL = "BTCUSDT", "ETHUSDT", "SOLUSDT"
DOGE = "DOGEUSDT"
MAX_ATTEMPTS = 3
BTC_SWAP, ETH_SWAP, SOL_SWAP = "BTC-USDT-SWAP", "ETH-USDT-SWAP", "SOL-USDT-SWAP"
BUSY = Fault(kind="service_unavailable_503", venue="binance_portfolio", lane=ETH, calls=1)
TOO_MANY = Fault(kind="too_many", venue="okx", lane=f"cross.contract.{ETH_SWAP}", calls=1)
DOWN = Fault(kind="service_unavailable_503", venue="binance_portfolio", lane=SOL, calls=MAX_ATTEMPTS)
SLOW = Fault(kind="latency", venue="ztdx", lane=ETH, calls=1, seconds=1.5)

EACH_VENUE = (
    Sample(shows="changed", target=BinanceMargin(), leverage=Decimal(5)),
    Sample(shows="changed", target=BinanceUsdm(symbol=BTC), leverage=Decimal(20)),
    Sample(shows="changed", target=BinancePortfolio(symbol=BTC), leverage=Decimal(10)),
    Sample(shows="changed", target=Okx(margin_mode="cross", instrument=BTC_SWAP), leverage=Decimal(10)),
    Sample(shows="changed", target=Ztdx(symbol=BTC), leverage=Decimal(15)),
)
TROUBLE = (
    Sample(shows="refused by a rule", target=BinanceMargin(), leverage=Decimal(7), expected="invalid"),
    Sample(
        shows="refused by the venue", target=BinanceUsdm(symbol=ETH), leverage=Decimal(125), expected="venue_rejected"
    ),
    Sample(shows="retried after a 503", target=BinancePortfolio(symbol=ETH), leverage=Decimal(5), fault=BUSY),
    Sample(
        shows="throttled: a 429, waited out",
        target=Okx(margin_mode="cross", instrument=ETH_SWAP),
        leverage=Decimal(20),
        fault=TOO_MANY,
    ),
    Sample(
        shows="no budget in time: one a minute",
        target=BinanceMargin(),
        leverage=Decimal(3),
        expected="rate_limited",
        expires_in=20.0,
    ),
    Sample(shows="changed, slowly", target=Ztdx(symbol=ETH), leverage=Decimal(10), fault=SLOW),
)
NEWER = (
    Sample(shows="superseded while waiting", target=Ztdx(symbol=ETH), leverage=Decimal(15), expected="superseded"),
    Sample(shows="the newer one", target=Ztdx(symbol=ETH), leverage=Decimal(20)),
)
RULED = (
    Sample(shows="over a cap", target=BinanceUsdm(symbol=DOGE), leverage=Decimal(20), expected="policy"),
    Sample(shows="a rule in shadow only counts", target=BinanceUsdm(symbol=SOL), leverage=Decimal(8)),
    Sample(
        shows="frozen by an operator",
        target=Okx(margin_mode="cross", instrument=SOL_SWAP),
        leverage=Decimal(5),
        expected="policy",
    ),
)
PUT_ASIDE = Sample(
    shows="the venue is down: a dead letter",
    target=BinancePortfolio(symbol=SOL),
    leverage=Decimal(10),
    expected="venue_unavailable",
    fault=DOWN,
)
