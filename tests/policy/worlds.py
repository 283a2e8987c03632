"""Random policies, lanes and commands, small enough that rules meet commands often; by seed."""

from decimal import Decimal
from random import Random
from typing import Any

from schemas import BinanceMargin, BinanceUsdm, Okx, SetLeverage, Target, Ztdx
from schemas.targets import venue_of

ACCOUNTS = ["desk-1", "desk-2", "spot-1"]
ISSUERS = ["momentum-7", "momentum-8", "arb", None]
TARGETS: list[Target] = [
    BinanceUsdm(symbol="BTCUSDT"),
    BinanceUsdm(symbol="ETHUSDT"),
    Ztdx(symbol="BTCUSDT"),
    BinanceMargin(),
    Okx(margin_mode="cross", instrument="BTC-USD-200802"),
    Okx(margin_mode="cross", instrument="BTC-USD-200903"),
    Okx(margin_mode="isolated", instrument="BTC-USD-200802", position_side="long"),
    Okx(margin_mode="cross", currency="BTC"),
]
NAMES = {  # by the contract's table of lanes
    0: ["BTCUSDT"],
    1: ["ETHUSDT"],
    2: ["BTCUSDT"],
    3: [],
    4: ["BTC-USD-200802", "BTC-USD"],
    5: ["BTC-USD-200903", "BTC-USD"],
    6: ["BTC-USD-200802"],
    7: ["BTC"],
}
PATTERNS = {
    "venue": ["binance_usdm", "okx", "binance_*", "*"],
    "account": ["desk-1", "desk-*", "*", "*1"],
    "symbol": ["BTCUSDT", "BTC*", "BTC-USD", "BTC-USD-*", "*USDT", "*", "BTC"],
    "issuer": ["momentum-7", "momentum-*", "arb", "*"],
}
CLOSED = ["22:00-23:00", "23:30-00:30", "Fri 21:00-Mon 00:00", "Sun 12:00-Sun 18:00", "00:00-24:00", "22:30-23:30"]


def make_rules(random: Random) -> dict[str, dict[str, Any]]:
    """Up to six rules, as TOML has them."""
    return {f"r{number}": _rule(random) for number in range(random.randint(1, 6))}


def _rule(random: Random) -> dict[str, Any]:
    rule: dict[str, Any] = {
        field: random.choice(choices) for field, choices in PATTERNS.items() if random.random() < 0.4
    }
    limits: list[dict[str, Any]] = [
        {"maximum": random.randint(5, 40)},
        {"minimum": random.randint(1, 4)},
        {"allowed": sorted(random.sample([1, 2, 3, 4, 5], 3))},
        {"step_up": random.choice([1, 5, 2.5])},
        {"step_up_in_window": random.choice([2, 10]), "window": random.choice([60, 3600, 86400])},
        {"cool_down": random.choice([30, 600, 86400])},
        {"closed": random.sample(CLOSED, random.randint(1, 2))},
        {"commands_per_hour": random.choice([1, 3, 10])},
    ]
    for limit in random.sample(limits, random.randint(1, 3)):
        rule |= limit
    if "allowed" in rule:
        rule.pop("maximum", None)
        rule.pop("minimum", None)
    return rule


def as_toml(rules: dict[str, dict[str, Any]]) -> str:
    """A policy file of these rules."""
    lines: list[str] = []
    for name, rule in rules.items():
        lines.append(f"[rules.{name}]")
        lines += [f"{field} = {_toml(value)}" for field, value in rule.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list) else str(value)


def make_command(random: Random, number: int) -> tuple[SetLeverage, dict[str, Any]]:
    """One command, and the same for the oracle."""
    place = random.randrange(len(TARGETS))
    target = TARGETS[place]
    command = SetLeverage(
        command_id=f"c{number}",
        account=random.choice(ACCOUNTS),
        leverage=Decimal(random.choice(["1", "2", "3", "5", "7.5", "10", "20", "50"])),
        target=target,
        issuer=random.choice(ISSUERS),
    )
    plain = {
        "venue": venue_of(target),
        "account": command.account,
        "issuer": command.issuer,
        "leverage": command.leverage,
        "names": NAMES[place],
        "lane": (venue_of(target), command.account, target.lane),
    }
    return command, plain
