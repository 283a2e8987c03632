"""A second policy, written apart from the gateway's: slow, by the words of the issue, over plain tables and lists.

It keeps every change and every command for ever and looks at all of them each time.
"""

from datetime import UTC, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

RAISING = {"step_up", "step_up_in_window", "cool_down", "closed"}
DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


class Oracle:
    """Judges commands by a TOML file's tables; commands are plain dicts."""

    def __init__(self, rules: dict[str, dict[str, Any]]) -> None:
        self.rules = rules
        self.changes: list[tuple[tuple[str, str, str], float, Decimal]] = []
        self.passed: list[tuple[str, dict[str, Any], float]] = []

    def change(self, lane: tuple[str, str, str], at: float, value: Decimal) -> None:
        """A lane got a value."""
        self.changes.append((lane, at, value))

    def verdict(self, command: dict[str, Any], now: float) -> tuple[set[str], float | None, bool]:
        """The broken rules, when time cures all of them, and whether some cannot be told."""
        broken: dict[str, float | None] = {}
        past = [(at, value) for lane, at, value in self.changes if lane == command["lane"]]
        met = {name: rule for name, rule in self.rules.items() if self._meets(rule, command)}
        asking = {name: rule for name, rule in met.items() if RAISING & rule.keys()}
        for name, rule in met.items():
            found = self._bounds(rule, command) | self._rate(name, rule, command, now)
            if name in asking and past and command["leverage"] > past[-1][1]:
                found |= self._raising(rule, command, past, now)
            broken |= {f"{name}.{limit}": at for limit, at in found.items()}
        untold = bool(asking) and not past
        if not broken:
            for name, rule in met.items():
                if "commands_per_hour" in rule:
                    self.passed.append((name, command, now))
        cured = None if None in broken.values() or not broken else max(at for at in broken.values() if at is not None)
        return set(broken), cured, untold

    def _meets(self, rule: dict[str, Any], command: dict[str, Any]) -> bool:
        for field in ("venue", "account", "issuer"):
            if rule.get(field, "*") != "*" and not fnmatchcase(command[field] or "\0", rule[field]):
                return False
        symbol = rule.get("symbol", "*")
        return symbol == "*" or any(fnmatchcase(name, symbol) for name in command["names"])

    def _rate(self, name: str, rule: dict[str, Any], command: dict[str, Any], now: float) -> dict[str, float | None]:
        account = (command["venue"], command["account"])
        same = [at for by, other, at in self.passed if by == name and (other["venue"], other["account"]) == account]
        hour = sorted(at for at in same if now - at < 3600)
        limit = rule.get("commands_per_hour")
        return {} if limit is None or len(hour) < limit else {"commands_per_hour": hour[-limit] + 3600}

    def _bounds(self, rule: dict[str, Any], command: dict[str, Any]) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        if "maximum" in rule and command["leverage"] > Decimal(str(rule["maximum"])):
            found["maximum"] = None
        if "minimum" in rule and command["leverage"] < Decimal(str(rule["minimum"])):
            found["minimum"] = None
        if "allowed" in rule and command["leverage"] not in [Decimal(str(value)) for value in rule["allowed"]]:
            found["allowed"] = None
        return found

    def _raising(
        self, rule: dict[str, Any], command: dict[str, Any], past: list[tuple[float, Decimal]], now: float
    ) -> dict[str, float | None]:
        found: dict[str, float | None] = {}
        asked, present = command["leverage"], past[-1][1]
        if "step_up" in rule and asked - present > Decimal(str(rule["step_up"])):
            found["step_up"] = None
        changed = self._last_change(past)
        if "cool_down" in rule and now < changed + rule["cool_down"]:
            found["cool_down"] = changed + rule["cool_down"]
        if "step_up_in_window" in rule:
            step, window = Decimal(str(rule["step_up_in_window"])), rule["window"]
            ends = [*(at for at, _ in past[1:]), float("inf")]
            spans = [(value, end) for (_, value), end in zip(past, ends, strict=True)]
            too_low = [end for value, end in spans if asked - value > step]
            if any(end > now - window for end in too_low):
                found["step_up_in_window"] = None if max(too_low) == float("inf") else max(too_low) + window
        if any(self._is_closed(span, now) for span in rule.get("closed", [])):
            found["closed"] = self._opens(rule["closed"], now)
        return found

    def _last_change(self, past: list[tuple[float, Decimal]]) -> float:
        """When it last became another value than before."""
        at, value = past[0]
        for next_at, next_value in past[1:]:
            if next_value != value:
                at, value = next_at, next_value
        return at

    def _opens(self, spans: list[str], now: float) -> float | None:
        """Half hour by half hour, as all spans of these tests begin and end, for a week and a bit."""
        half = now - now % 1800 + 1800
        for step in range(8 * 48):
            at = half + 1800 * step
            if not any(self._is_closed(span, at) for span in spans):
                return at
        return None

    def _is_closed(self, span: str, now: float) -> bool:
        moment = datetime.fromtimestamp(now, UTC)
        minute = moment.hour * 60 + moment.minute
        begin, end = (part.split() for part in span.split("-"))
        if len(begin) == 1:
            return self._within(self._clock(begin[0]), self._clock(end[0]), minute)
        into_week = moment.weekday() * 1440 + minute
        first, last = (DAYS.index(day) * 1440 + self._clock(text) for day, text in (begin, end))
        return self._within(first, last, into_week)

    def _within(self, begin: int, end: int, minute: int) -> bool:
        return begin <= minute < end if begin < end else minute >= begin or minute < end

    def _clock(self, text: str) -> int:
        hours, minutes = text.split(":")
        return int(hours) * 60 + int(minutes)
