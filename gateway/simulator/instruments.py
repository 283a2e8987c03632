"""What the simulated venues list: Binance and ZTDX symbols with their brackets, OKX instruments with their kinds.

The venues ask it what exists and how much leverage it takes; SIM and up to nine digits exists everywhere, for load.
"""

import re
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

Kind = Literal["MARGIN", "FUTURES", "SWAP"]

SYMBOLS = {"BTCUSDT": 125, "ETHUSDT": 100, "SOLUSDT": 75, "DOGEUSDT": 75, "测试USDT": 50}
"""Listed symbols and the `initialLeverage` of their first bracket."""
SIM_MAXIMUM = 125
_SIM_SYMBOL = re.compile(r"SIM[0-9]{1,9}USDT")

# The most a position may be worth, by the leverage up to which that holds; the 21x of the venue's sample has 1000000.
BRACKETS = ((5, 20_000_000), (10, 10_000_000), (20, 5_000_000), (25, 1_000_000), (50, 500_000), (125, 50_000))

BASES = {"BTC": 100, "ETH": 100, "SOL": 50, "DOGE": 50, "USDT": 10, "USDC": 10}
"""Listed currencies and the most leverage of contracts on them."""
MARGIN_MAXIMUM = 10
_QUOTES = ("USDT", "USDC", "USD", "BTC")
_SIM_BASE = re.compile(r"SIM[0-9]{1,9}")


def maximum_of_symbol(symbol: str) -> int | None:
    """The highest leverage of a symbol; None where it is not listed."""
    found = SYMBOLS.get(symbol)
    return SIM_MAXIMUM if found is None and _SIM_SYMBOL.fullmatch(symbol) else found


def max_notional(leverage: int) -> int:
    """The cap of the bracket that a leverage falls into."""
    return next((notional for maximum, notional in BRACKETS if leverage <= maximum), 0)


class Instrument(Struct, frozen=True, kw_only=True):
    """One OKX instrument.

    Attributes:
        underlying: `BTC-USD` of BTC-USD-200802 and of BTC-USD-SWAP; a pair is its own.
    """

    id: str
    kind: Kind
    underlying: str
    maximum: int


def instrument(instrument_id: str) -> Instrument | None:
    """The instrument of an instId; None where it is not listed."""
    base, _, rest = instrument_id.partition("-")
    quote, _, series = rest.partition("-")
    maximum = _maximum_of_base(base)
    kind = _kind(quote, series)
    if maximum is None or kind is None or base == quote:
        return None
    return Instrument(
        id=instrument_id,
        kind=kind,
        underlying=f"{base}-{quote}",
        maximum=MARGIN_MAXIMUM if kind == "MARGIN" else maximum,
    )


def is_currency(name: str) -> bool:
    """Whether OKX lists a currency of this name."""
    return _maximum_of_base(name) is not None


def _maximum_of_base(base: str) -> int | None:
    found = BASES.get(base)
    return SIM_MAXIMUM if found is None and _SIM_BASE.fullmatch(base) else found


def _kind(quote: str, series: str) -> Kind | None:
    if quote not in _QUOTES:
        return None
    if not series:
        return "MARGIN" if quote != "USD" else None
    if series == "SWAP":
        return "SWAP"
    return "FUTURES" if _is_day(series) else None


def _is_day(text: str) -> bool:
    """Expiry days are written yymmdd; any that the calendar has is listed, past ones too (the seed has 200802)."""
    if not re.fullmatch(r"\d{6}", text):
        return False
    try:
        datetime.strptime(text, "%y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True
