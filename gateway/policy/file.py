"""A policy file, TOML that a person keeps in git, to rules; everything that is wrong with it is told at once.

```toml
[rules.majors]                          # a name of its own; events say majors.maximum
venue = "binance_usdm"                  # whom it meets; * stands for any characters, what is left out is not asked
account = "desk-*"
symbol = "BTC*"                         # symbol, OKX instrument or currency
issuer = "momentum-*"
maximum = 20                            # what it allows
minimum = 1
allowed = [1, 2, 5, 10, 20]
step_up = 5                             # at most so much more in one change
step_up_in_window = 10                  # and so much more than the lowest of the last `window` seconds
window = 3600
cool_down = 600                         # seconds after a change in which nothing may be raised
closed = ["07:55-08:05", "Fri 21:00-Mon 00:00"]   # UTC; nothing may be raised
commands_per_hour = 60                  # of each account
```
"""

import re
import tomllib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from difflib import get_close_matches
from hashlib import sha256
from typing import Any, cast

import msgspec

from gateway.policy.history import LONGEST_WINDOW
from gateway.policy.rules import MINUTES_A_DAY, MINUTES_A_WEEK, ClosedHours, Rule, Rulebook, Rules
from schemas.targets import VENUES

LARGEST_FILE = 900_000  # bytes; a record of Kafka holds a megabyte
VERSION_LENGTH = 12
MOST_COMMANDS = 100_000  # an hour; their times are kept
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TIME = r"(\d\d):(\d\d)"
_DAILY = re.compile(rf"{_TIME}-{_TIME}")
_WEEKLY = re.compile(rf"({'|'.join(_DAYS)}) {_TIME}-({'|'.join(_DAYS)}) {_TIME}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PATTERNS = ("venue", "account", "symbol", "issuer")
_DECIMALS = ("maximum", "minimum", "step_up", "step_up_in_window")
_SECONDS = ("window", "cool_down")
_LIMITS = ("maximum", "minimum", "allowed", "step_up", "step_up_in_window", "cool_down", "closed", "commands_per_hour")
_KEYS = (*_PATTERNS, *_LIMITS, "window")

Finding = tuple[str, str]


class PolicyFileError(Exception):
    """Raised where a policy file is wrong; its text has one line for each problem: file, path, what would be right."""

    def __init__(self, source: str, findings: Iterable[Finding]) -> None:
        self.problems = tuple(": ".join(part for part in (source, *finding) if part) for finding in findings)
        super().__init__("\n".join(self.problems))


def read_rulebook(text: str, source: str = "policy") -> Rulebook:
    """Read rules from TOML text; PolicyFileError tells all that is wrong."""
    try:
        table = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise PolicyFileError(source, [("", f"not TOML: {error}")]) from error
    if len(text.encode()) > LARGEST_FILE:
        raise PolicyFileError(source, [("", f"more than {LARGEST_FILE} bytes; name many with one pattern")])
    findings: list[Finding] = []
    rules = tuple(_rules(table, findings))
    if findings:
        raise PolicyFileError(source, findings)
    return Rulebook(version=hash_of(text)[:VERSION_LENGTH], rules=rules)


def hash_of(text: str) -> str:
    """The SHA-256 of a file's text, in hexadecimal."""
    return sha256(text.encode()).hexdigest()


def warnings_of(rules: Rules) -> Iterator[str]:
    """What is no mistake and may not be what was meant."""
    for rule in rules:
        if re.search(r"-\d{6}$", rule.symbol):
            underlying = rule.symbol.rpartition("-")[0]
            yield (
                f"rules.{rule.name}.symbol: OKX contracts of one underlying share one leverage under cross margin: "
                f"{underlying}* meets all of them"
            )


def _rules(table: dict[str, Any], findings: list[Finding]) -> Iterator[Rule]:
    findings += [(key, 'no such table; rules are tables like [rules."name"]') for key in table if key != "rules"]
    rules = table.get("rules", {})
    if not isinstance(rules, dict):
        findings.append(("rules", "expected tables, as in [rules.name]"))
        return
    for name, fields in cast("dict[str, Any]", rules).items():
        path = f"rules.{name}"
        if not _NAME.fullmatch(name):
            findings.append((path, "a rule's name is 1 to 64 letters, digits, dashes and underscores"))
        elif not isinstance(fields, dict):
            findings.append((path, f"expected a table, as in [{path}]"))
        else:
            before = len(findings)
            values = dict(_values(path, cast("dict[str, Any]", fields), findings))
            if len(findings) == before:
                rule = Rule(name=name, **values)
                findings += _crossed(path, rule)
                yield rule


def _values(path: str, fields: dict[str, Any], findings: list[Finding]) -> Iterator[tuple[str, Any]]:
    for key, value in fields.items():
        try:
            yield key, _value(key, value)
        except ValueError as error:
            findings.append((f"{path}.{key}", str(error)))


def _value(key: str, value: Any) -> Any:
    if key in _PATTERNS:
        return _pattern(key, value)
    if key in _DECIMALS:
        return _decimal(value)
    if key in _SECONDS:
        return _seconds(value)
    if key == "allowed":
        return _list(value, _decimal, "[1, 2, 5]")
    if key == "closed":
        return _list(value, _closed, '["22:00-23:00"]')
    if key == "commands_per_hour":
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_COMMANDS:
            raise ValueError(f"expected a whole number from 1 to {MOST_COMMANDS}")
        return value
    near = get_close_matches(key, _KEYS, n=1)
    raise ValueError(
        f"no such field; did you mean {near[0]}?" if near else f"no such field; there are {', '.join(_KEYS)}"
    )


def _pattern(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected a text; * stands for any characters")
    if key == "venue" and "*" not in value and value not in VENUES:
        raise ValueError(f"no such venue; there are {', '.join(VENUES)}")
    return value


def _decimal(value: Any) -> Decimal:
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if not is_number or not Decimal(value).is_finite() or value <= 0:
        raise ValueError("expected a number above 0, as in 20 or 2.5")
    return Decimal(value)


def _seconds(value: Any) -> float:
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if not is_number or not 0 < value <= LONGEST_WINDOW:
        raise ValueError(f"expected seconds, above 0 and at most {LONGEST_WINDOW:g}")
    return float(value)


def _list(value: Any, read: Any, example: str) -> tuple[Any, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"expected a list, as in {example}")
    return tuple(read(item) for item in cast("list[Any]", value))


def _closed(value: Any) -> ClosedHours:
    remedy = 'expected "22:00-23:00" for every day, or "Fri 21:00-Mon 00:00" for every week, in UTC'
    text = value if isinstance(value, str) else ""
    if daily := _DAILY.fullmatch(text):
        begin, end, period = _minutes(*daily.groups()[:2]), _minutes(*daily.groups()[2:]), MINUTES_A_DAY
    elif weekly := _WEEKLY.fullmatch(text):
        day, hour, minute, last_day, last_hour, last_minute = weekly.groups()
        begin = _DAYS.index(day) * MINUTES_A_DAY + _minutes(hour, minute)
        end = _DAYS.index(last_day) * MINUTES_A_DAY + _minutes(last_hour, last_minute)
        period = MINUTES_A_WEEK
    else:
        raise ValueError(remedy)
    if begin == end:
        raise ValueError("begins when it ends: 00:00-24:00 is a whole day")
    return ClosedHours(begin % period, end - begin if end > begin else end - begin + period, period, text)


def _minutes(hours: str, minutes: str) -> int:
    said = int(hours) * 60 + int(minutes)
    if int(minutes) >= 60 or said > MINUTES_A_DAY:  # noqa: PLR2004 - minutes of an hour
        raise ValueError("expected times from 00:00 to 24:00")
    return said


def _crossed(path: str, rule: Rule) -> Iterator[Finding]:
    """What is wrong between fields."""
    if all(not getattr(rule, limit) for limit in _LIMITS):
        yield path, f"forbids nothing; add one of {', '.join(_LIMITS)}"
    if (rule.window is None) != (rule.step_up_in_window is None):
        missing = "window" if rule.window is None else "step_up_in_window"
        yield f"{path}.{missing}", "missing; step_up_in_window and window go together"
    if rule.minimum is not None and rule.maximum is not None and rule.minimum > rule.maximum:
        yield f"{path}.minimum", "is more than maximum: nothing could be set"
    outside = [
        value
        for value in rule.allowed or ()
        if (rule.maximum is not None and value > rule.maximum) or (rule.minimum is not None and value < rule.minimum)
    ]
    if outside:
        yield f"{path}.allowed", f"{', '.join(map(str, outside))} is outside of minimum and maximum"


def as_fields(rule: Rule) -> dict[str, Any]:
    """A rule's fields that say something, for tables."""
    return {name: value for name, value in msgspec.structs.asdict(rule).items() if value not in (None, (), "*")}
