"""Rules about a leverage that hold at every venue, checked before any call is made."""

from decimal import Decimal

LARGEST = 1000  # no venue grants as much
MOST_DECIMALS = 2
MOST_CHARACTERS = 32  # nobody needs more zeros, and every answer repeats them


def broken_number_rule(leverage: Decimal) -> str | None:
    """The rule that a number breaks which is no leverage anywhere."""
    if not leverage.is_finite():
        return "leverage must be a finite number, such as 20"
    if leverage <= 0 or leverage > LARGEST:
        return f"leverage must be above 0 and at most {LARGEST}"
    if _decimals(leverage) > MOST_DECIMALS:
        return f"leverage must have at most {MOST_DECIMALS} decimals"
    if len(str(leverage)) > MOST_CHARACTERS:
        return f"leverage must be written in at most {MOST_CHARACTERS} characters"
    return None


def broken_integer_rule(leverage: Decimal) -> str | None:
    """The rule that a number breaks where the venue takes integers only."""
    broken = broken_number_rule(leverage)
    if broken is None and leverage != leverage.to_integral_value():
        return f"leverage must be an integer here, not {leverage}"
    return broken


def plain(leverage: Decimal) -> str:
    """The number as venues write it: no exponent, no needless zeros."""
    whole, _, fraction = format(leverage, "f").partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def _decimals(leverage: Decimal) -> int:
    """How many decimals it has; never by arithmetic, which rounds to the context's digits and exponents."""
    _, digits, exponent = leverage.as_tuple()
    if not isinstance(exponent, int) or exponent >= 0:
        return 0
    needless = 0
    while needless < -exponent and needless < len(digits) and digits[-1 - needless] == 0:
        needless += 1
    return -exponent - needless
