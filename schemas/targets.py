"""What a command acts on: one Struct a venue, told apart by `venue`, each knowing its lane.

A lane is what one leverage setting covers at the venue, and the unit of order. Its text is the same everywhere:
events, state keys, metrics, command line.
"""

import re
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

VenueName = Literal["binance_margin", "binance_usdm", "binance_portfolio", "okx", "ztdx"]
VENUES: tuple[VenueName, ...] = get_args(VenueName)
LaneKey = tuple[VenueName, str, str]  # venue, account and lane: the unit of order

NAME_PATTERN = r"^[^\s:&\x00-\x1f\x7f-\x9f]{1,64}$(?![\s\S])"
Symbol = Annotated[
    str,
    Meta(
        min_length=1, max_length=64, pattern=NAME_PATTERN, description="The venue's own spelling.", examples=["BTCUSDT"]
    ),
]
Instrument = Annotated[
    str,
    Meta(min_length=1, max_length=64, pattern=NAME_PATTERN, description="OKX instId.", examples=["BTC-USDT-SWAP"]),
]
Currency = Annotated[
    str,
    Meta(min_length=1, max_length=64, pattern=NAME_PATTERN, description="OKX ccy.", examples=["BTC"]),
]


class BinanceMargin(Struct, frozen=True, kw_only=True, tag_field="venue", tag="binance_margin"):
    """The whole cross-margin account (POST /sapi/v1/margin/max-leverage)."""

    @property
    def lane(self) -> str:
        """The one lane of the account."""
        return "cross-margin"


class _BySymbol(Struct, frozen=True, kw_only=True, tag_field="venue"):
    symbol: Symbol

    @property
    def lane(self) -> str:
        """The symbol: both position sides share one leverage."""
        return self.symbol


class BinanceUsdm(_BySymbol, frozen=True, kw_only=True, tag="binance_usdm"):
    """One symbol of USD-M futures (POST /fapi/v1/leverage)."""


class BinancePortfolio(_BySymbol, frozen=True, kw_only=True, tag="binance_portfolio"):
    """One USD-M symbol of a portfolio-margin account (POST /papi/v1/um/leverage)."""


class Ztdx(_BySymbol, frozen=True, kw_only=True, tag="ztdx"):
    """One symbol of ZTDX perpetuals (POST /fapi/v1/leverage)."""


class Okx(Struct, frozen=True, kw_only=True, tag_field="venue", tag="okx"):
    """What one OKX call covers (POST /api/v5/account/set-leverage): eleven scenarios, by which fields are there."""

    margin_mode: Annotated[Literal["cross", "isolated"], Meta(description="OKX mgnMode.")]
    instrument: Annotated[Instrument | None, Meta(description="OKX instId: without it, the currency is set.")] = None
    currency: Annotated[Currency | None, Meta(description="OKX ccy: cross margin at currency level only.")] = None
    position_side: Annotated[
        Literal["long", "short"] | None,
        Meta(description="OKX posSide: isolated futures and swaps of an account in long/short mode only."),
    ] = None

    @property
    def level(self) -> Literal["pair", "currency", "underlying", "contract"]:
        """The level at which the venue says the setting acts."""
        if self.instrument is None:
            return "currency"
        kind = instrument_kind(self.instrument)
        if kind == "MARGIN":
            return "pair"
        return "underlying" if kind == "FUTURES" and self.margin_mode == "cross" else "contract"

    @property
    def lane(self) -> str:
        """`<margin mode>.<level>.<name>`, and `.<position side>` where the call carries one."""
        name = self.instrument or self.currency or ""
        if self.level == "underlying":
            name = name.rpartition("-")[0]
        side = f".{self.position_side}" if self.position_side else ""
        return f"{self.margin_mode}.{self.level}.{name}{side}"


Target = BinanceMargin | BinanceUsdm | BinancePortfolio | Okx | Ztdx


def instrument_kind(instrument: str) -> Literal["MARGIN", "FUTURES", "SWAP", "OTHER"]:
    """Tell an OKX instrument's type from its spelling: `BTC-USDT`, `BTC-USD-200802`, `BTC-USDT-SWAP`."""
    if instrument.endswith("-SWAP"):
        return "SWAP"
    if re.fullmatch(r"[^-]+-[^-]+-\d{6}", instrument):
        return "FUTURES"
    return "MARGIN" if re.fullmatch(r"[^-]+-[^-]+", instrument) else "OTHER"


def venue_of(target: Target) -> VenueName:
    """The venue's word, as JSON, TOML, modules and metrics spell it."""
    return target.__struct_config__.tag  # pyright: ignore[reportReturnType]


def lane_of(account: str, target: Target) -> LaneKey:
    """The lane that an account's commands for a target belong to."""
    return venue_of(target), account, target.lane
