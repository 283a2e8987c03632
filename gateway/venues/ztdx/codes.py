"""ZTDX's error codes: no page lists them, so Binance's futures table stands in, but for what ZTDX's pages say."""

from gateway.venues.binance.codes import FUTURES
from gateway.venues.codes import Code

CODES = FUTURES | {
    row.code: row
    for row in (
        Code("-4028", "INVALID_LEVERAGE", "refused", "Outside of the symbol's [min_leverage, max_leverage]."),
        Code("-4059", "HEDGE_MODE", "refused", "Hedge mode is not supported: one-way only."),
    )
}
