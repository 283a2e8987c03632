"""Which fields go together in a set-leverage call: the rules of the page's eleven scenarios that need no account mode.

Whether a pair takes `instId` or `ccy`, and whether `posSide` is needed, depends on the account's mode, which only the
venue knows; both are let through and the venue decides.
"""

from schemas import Okx
from schemas.targets import instrument_kind


def broken_field_rule(target: Okx) -> str | None:
    """The rule that the target's fields break, in words that say what would be right."""
    if (target.instrument is None) == (target.currency is None):
        return "give either instrument or currency: currency for cross margin of auto-borrow accounts, else instrument"
    if target.currency is not None:
        return _broken_currency_rule(target)
    kind = instrument_kind(target.instrument or "")
    if kind == "OTHER":
        return "instrument must be a pair (BTC-USDT), a future (BTC-USD-200802) or a swap (BTC-USDT-SWAP)"
    if target.position_side is None:
        return None
    if target.margin_mode == "cross":
        return "position_side goes with margin_mode isolated only: cross margin has one leverage for both sides"
    return "position_side goes with futures and swaps only, not with a pair" if kind == "MARGIN" else None


def _broken_currency_rule(target: Okx) -> str | None:
    if target.margin_mode != "cross":
        return "currency goes with margin_mode cross only; isolated margin takes an instrument"
    if target.position_side is not None:
        return "position_side goes with an instrument of futures or swaps, not with a currency"
    return None
