"""What a command breaks: a function of command, rules, the lane's present value, its past, and the time.

Every rule that meets the command must agree; nothing is ever clamped. Only raising is refused by steps, cool-downs and
closed hours: what lowers, or leaves the value, always may by them.
"""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from math import inf

from msgspec import Struct

from gateway.policy.history import CommandTimes, LaneHistory
from gateway.policy.index import Met
from gateway.policy.rules import HOUR, ClosedHours, Rule
from schemas.targets import LaneKey

DAYS_A_WEEK = 7


class Breach(Struct, frozen=True):
    """One limit that a command breaks: its name, what to tell, and when time will have cured it (wall seconds)."""

    rule: str
    message: str
    retry_at: float | None = None


class Question(Struct, frozen=True):
    """What is judged.

    Attributes:
        is_new: the command was not counted by `commands_per_hour` yet.
        is_first: nothing of its lane is under way; else what the lane has is not asked.
    """

    lane: LaneKey
    leverage: Decimal
    now: float
    is_new: bool = True
    is_first: bool = True


def breaches(met: Met, asked: Question, past: LaneHistory, times: CommandTimes) -> tuple[list[Breach], bool]:
    """All that is broken, and whether a rule cannot tell because nobody told what the lane has."""
    found: list[Breach] = []
    if not met.allows(asked.leverage):
        found += [breach for rule in met.rules for breach in _bounds(rule, asked.leverage)]
    if met.rated and asked.is_new:
        found += [breach for rule in met.rated for breach in _rate(rule, asked, times)]
    if not (met.raising and asked.is_first):
        return found, False
    present = past.present(asked.lane)
    if present is not None and asked.leverage > present:
        for rule in met.raising:
            found += _raising(rule, asked, present, past)
    return found, present is None


def retry_at(found: Iterable[Breach]) -> float | None:
    """When time alone will have cured all of it; None where it will not."""
    times = [breach.retry_at for breach in found]
    return None if None in times else max((at for at in times if at is not None), default=None)


def count(met: Met, asked: Question, times: CommandTimes) -> None:
    """Count a command that was let through for the rules that limit how many come."""
    for rule in met.rated:
        times.count((rule.name, *asked.lane[:2]), rule.commands_per_hour or 0, asked.now)


def _bounds(rule: Rule, leverage: Decimal) -> Iterator[Breach]:
    if rule.maximum is not None and leverage > rule.maximum:
        yield Breach(f"{rule.name}.maximum", f"leverage {leverage} is above the maximum of {rule.maximum}")
    if rule.minimum is not None and leverage < rule.minimum:
        yield Breach(f"{rule.name}.minimum", f"leverage {leverage} is below the minimum of {rule.minimum}")
    if rule.allowed is not None and leverage not in rule.allowed:
        values = ", ".join(map(str, rule.allowed))
        yield Breach(f"{rule.name}.allowed", f"leverage {leverage} is not one of {values}")


def _rate(rule: Rule, asked: Question, times: CommandTimes) -> Iterator[Breach]:
    limit = rule.commands_per_hour or 0
    oldest = times.oldest_of((rule.name, *asked.lane[:2]), limit)
    if oldest is not None and asked.now - oldest < HOUR:
        message = f"{limit} commands came within an hour, and more may not"
        yield Breach(f"{rule.name}.commands_per_hour", message, oldest + HOUR)


def _raising(rule: Rule, asked: Question, present: Decimal, past: LaneHistory) -> Iterator[Breach]:
    if rule.step_up is not None and asked.leverage - present > rule.step_up:
        message = f"from {present} to {asked.leverage} is more than {rule.step_up} at once"
        yield Breach(f"{rule.name}.step_up", message)
    if rule.step_up_in_window is not None and rule.window is not None:
        yield from _window(rule, asked, present, past)
    if rule.cool_down is not None and asked.now < (until := past.changed_at(asked.lane) + rule.cool_down):
        message = f"it changed less than {rule.cool_down:g} s ago, and may not be raised yet"
        yield Breach(f"{rule.name}.cool_down", message, until)
    if rule.closed and any(span.opens_at(asked.now) is not None for span in rule.closed):
        yield Breach(f"{rule.name}.closed", "nothing may be raised in these hours", _opens_at(rule.closed, asked.now))


def _opens_at(closed: Sequence[ClosedHours], now: float) -> float | None:
    """When the last of the spans that follow one another ends; None where they fill the week."""
    for _ in range(DAYS_A_WEEK * len(closed) + 1):
        ends = [at for span in closed if (at := span.opens_at(now)) is not None]
        if not ends:
            return now
        now = max(ends)
    return None


def _window(rule: Rule, asked: Question, present: Decimal, past: LaneHistory) -> Iterator[Breach]:
    step, window = rule.step_up_in_window or Decimal(0), rule.window or 0.0
    lowest = past.lowest_since(asked.lane, asked.now - window)
    if asked.leverage - lowest <= step:
        return
    message = f"from {lowest} to {asked.leverage} is more than {step} within {window:g} s"
    until = past.below_until(asked.lane, asked.leverage - step)
    is_cured = asked.leverage - present <= step and until < inf
    yield Breach(f"{rule.name}.step_up_in_window", message, until + window if is_cured else None)
