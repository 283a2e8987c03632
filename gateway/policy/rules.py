"""One cap as a value: whom it meets, and what it forbids. `file` reads them, `decide` judges by them."""

import re
from decimal import Decimal
from functools import lru_cache

from msgspec import Struct

from schemas import SetLeverage
from schemas.targets import Okx, Target

ANY = "*"
HOUR = 3600.0
MINUTES_A_DAY = 1440
MINUTES_A_WEEK = 7 * MINUTES_A_DAY
_MONDAY = 3 * MINUTES_A_DAY  # 1970-01-01 was a Thursday


class ClosedHours(Struct, frozen=True):
    """A span of every day or every week, UTC, in minutes from its midnight, or from Monday's; it may wrap."""

    begin: int
    minutes: int
    period: int
    text: str = ""

    def __str__(self) -> str:
        return self.text

    def opens_at(self, now: float) -> float | None:
        """The wall seconds when the span that holds `now` ends; None where none does."""
        offset = _MONDAY if self.period == MINUTES_A_WEEK else 0
        into = (now / 60 + offset - self.begin) % self.period
        return now + (self.minutes - into) * 60 if into < self.minutes else None


class Rule(Struct, frozen=True, kw_only=True):
    """Whom it meets: patterns that must all match. What it forbids: each limit that is there.

    Attributes:
        name: unique in its file; events name `<name>.<limit>`.
        symbol: matches the venue's spelling of the symbol, instrument or currency, or the name in the lane.
        step_up: how much more one change may set than the lane has.
        step_up_in_window: how much more than the lane's lowest value of the last `window` seconds.
        cool_down: seconds after a change in which nothing may be raised.
        closed: when nothing may be raised.
        commands_per_hour: of one account, those that this rule meets.
    """

    name: str
    venue: str = ANY
    account: str = ANY
    symbol: str = ANY
    issuer: str = ANY
    maximum: Decimal | None = None
    minimum: Decimal | None = None
    allowed: tuple[Decimal, ...] | None = None
    step_up: Decimal | None = None
    step_up_in_window: Decimal | None = None
    window: float | None = None
    cool_down: float | None = None
    closed: tuple[ClosedHours, ...] = ()
    commands_per_hour: int | None = None

    @property
    def needs_value(self) -> bool:
        """Whether it asks what the lane has now."""
        return self.step_up is not None or self.needs_times

    @property
    def needs_times(self) -> bool:
        """Whether it asks what the time is, and when the lane changed."""
        return bool(self.closed) or self.step_up_in_window is not None or self.cool_down is not None

    @property
    def horizon(self) -> float:
        """How far back it asks, in seconds."""
        hour = 0.0 if self.commands_per_hour is None else HOUR
        return max(self.window or 0.0, self.cool_down or 0.0, hour)

    def meets(self, command: SetLeverage, venue: str) -> bool:
        """Whether it is for this command; one without an issuer is met by no rule that names one."""
        return (
            matches(self.venue, venue)
            and matches(self.account, command.account)
            and (self.issuer == ANY or (command.issuer is not None and matches(self.issuer, command.issuer)))
            and (self.symbol == ANY or any(matches(self.symbol, name) for name in names(command.target)))
        )


Rules = tuple[Rule, ...]


class Rulebook(Struct, frozen=True, kw_only=True):
    """A file's rules, and the text that events tell it by."""

    version: str
    rules: Rules


def names(target: Target) -> tuple[str, ...]:
    """What a rule's `symbol` may match: the venue's spelling, and the name of what the setting covers.

    Two contracts of one underlying under cross margin share a lane: a rule for the underlying must meet both.
    """
    if isinstance(target, Okx):
        said = target.instrument or target.currency or ""
        name = target.lane.split(".", 2)[2]
        side = f".{target.position_side}" if target.position_side else ""
        covers = name.removesuffix(side)
        return (said,) if covers == said else (said, covers)
    symbol: str | None = getattr(target, "symbol", None)
    return () if symbol is None else (symbol,)


def matches(pattern: str, text: str) -> bool:
    """Whether a text is like a pattern, in which only `*` is special: any characters, or none."""
    if "*" not in pattern:
        return pattern == text
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, re.split(r"\*+", pattern))), re.DOTALL)
