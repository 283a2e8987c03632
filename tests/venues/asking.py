"""Commands and answers for tests of the venues, and one of each venue's targets."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec
from multidict import CIMultiDict

from gateway.transport.messages import HttpReply
from gateway.venues.catalogue import venues
from schemas import BinanceMargin, BinancePortfolio, BinanceUsdm, Okx, SetLeverage, Target, VenueName, Ztdx

VENUES = venues()
TARGETS: Mapping[VenueName, Target] = {
    "binance_margin": BinanceMargin(),
    "binance_usdm": BinanceUsdm(symbol="BTCUSDT"),
    "binance_portfolio": BinancePortfolio(symbol="BTCUSDT"),
    "okx": Okx(margin_mode="isolated", instrument="BTC-USDT-SWAP", position_side="long"),
    "ztdx": Ztdx(symbol="BTCUSDT"),
}


def asked(target: VenueName | Target, leverage: str = "5") -> SetLeverage:
    """A command for a venue's sample target, or for a target."""
    chosen = TARGETS[target] if isinstance(target, str) else target
    return SetLeverage(command_id="c-1", account="desk-1", leverage=Decimal(leverage), target=chosen)


def said(status: int, body: object = None, **headers: str) -> HttpReply:
    """An answer; `body` is bytes as they are, or what to write as JSON."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return HttpReply(status=status, headers=named, body=raw)
