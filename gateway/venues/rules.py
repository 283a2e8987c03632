"""Rules about a leverage that hold at every venue, checked before any call is made."""

from decimal import Decimal

LARGEST = 1000  # no venue grants as much
MOST_DECIMALS = 2


def broken_number_rule(leverage: Decimal) -> str | None:
    """The rule that a number breaks which is no leverage anywhere."""
    if not leverage.is_finite():
        return "leverage must be a finite number, such as 20"
    if leverage <= 0 or leverage > LARGEST:
        return f"leverage must be above 0 and at most {LARGEST}"
    exponent = leverage.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > MOST_DECIMALS:
        return f"leverage must have at most {MOST_DECIMALS} decimals"
    return None


def broken_integer_rule(leverage: Decimal) -> str | None:
    """The rule that a number breaks where the venue takes integers only."""
    broken = broken_number_rule(leverage)
    if broken is None and leverage != leverage.to_integral_value():
        return f"leverage must be an integer here, not {leverage}"
    return broken


def plain(leverage: Decimal) -> str:
    """The number as venues write it: no exponent, no needless zeros."""
    return format(leverage.normalize(), "f")
