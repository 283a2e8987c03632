"""What a chaos run needs on disk: the accounts that simulator and gateways share, and each gateway's settings file."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.settings.tree import Topics
from gateway.simulator import SimulatedAccount, accounts
from gateway.simulator.config import account_table
from tests.chaos.generator import Plan, margin_account

CALL_TIMEOUT = 0.8  # seconds; faults that delay stay below it
SESSION_TIMEOUT_MS = 3_000


class Bound(NamedTuple):
    """A limit as the venue has it: so much in so many seconds, of an address or of an account."""

    capacity: int
    window: float
    is_of_address: bool


# The venues' own, or as much a second in a shorter window; only calls of an address at cross margin are more than the one
# a minute that it has. What no answer tells is taken for spent at a start and a takeover: in windows of a
# minute a gateway that is killed every few seconds would call nobody.
LIMITS: Mapping[str, Mapping[str, Bound]] = MappingProxyType(
    {
        "binance_margin": {
            "uid_weight": Bound(6_000, 2.0, is_of_address=False),
            "ip_calls": Bound(6, 2.0, is_of_address=True),
        },
        "binance_usdm": {"ip_weight": Bound(2_400, 60.0, is_of_address=True)},
        "binance_portfolio": {"ip_weight": Bound(6_000, 60.0, is_of_address=True)},
        "okx": {
            "uid_set_leverage": Bound(20, 2.0, is_of_address=False),
            "uid_leverage_info": Bound(20, 2.0, is_of_address=False),
            "ip_time": Bound(10, 2.0, is_of_address=True),
        },
        "ztdx": {"ip_weight": Bound(80, 2.0, is_of_address=True)},
    }
)


def write_accounts(folder: Path, plan: Plan) -> Path:
    """The simulator's accounts: every account of the plan at every venue of it."""
    path = folder / "accounts.toml"
    accounts.write_accounts(path, _accounts(plan))
    return path


def write_settings(
    folder: Path,
    name: str,
    plan: Plan,
    *,
    bootstrap_servers: str,
    topics: Topics,
    simulator_url: str,
    share: int,
    static: bool,
) -> Path:
    """One gateway's settings: its `share`th of an address's limits, and `static` for a membership that survives a restart."""
    kafka: dict[str, Any] = {
        "bootstrap_servers": bootstrap_servers,
        "session_timeout_ms": SESSION_TIMEOUT_MS,
        "lease": 2.0,
        "rebalance_timeout_ms": 6_000,
        "transaction_timeout_ms": 10_000,
        "request_timeout_ms": 4_000,
        "commit_interval": 0.3,
        "partitions": plan.partitions,
    }
    if static:
        kafka["group_instance_id"] = name
    lines = ["[kafka]", *_pairs(kafka), "[kafka.topics]"]
    lines += _pairs({role: getattr(topics, role) for role in ("commands", "events", "state", "dead_letters")})
    lines += ["[http]", 'listen = "127.0.0.1:0"', "[logging]", 'format = "json"', "[pipeline]", "drain_timeout = 3.0"]
    for venue, limits in LIMITS.items():
        lines += [f"[venues.{venue}]", f'base_url = "{simulator_url}/{venue}"', f"call_timeout = {CALL_TIMEOUT}"]
        lines += ["settles_within = 0.1"]
        lines += ["deadline = 120.0", "breaker_reset = 0.5", "max_attempts = 20", "backoff_cap = 0.5"]
        for limit, bound in limits.items():
            capacity = bound.capacity // share if bound.is_of_address else bound.capacity
            lines += [f"[venues.{venue}.limits.{limit}]", f"capacity = {capacity}", f"window = {bound.window}"]
    lines += [account_table(folder, account) for account in _accounts(plan)]
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def _accounts(plan: Plan) -> list[SimulatedAccount]:
    several: list[tuple[str, str]] = [(name, venue) for name in plan.accounts for venue in plan.venues]
    several += [(margin_account(number), "binance_margin") for number in range(plan.margin_accounts)]
    return [
        SimulatedAccount(
            name=name,
            venue=venue,
            api_key=f"key-of-{name}-at-{venue}",
            secret="chaos-secret-0123456789",
            passphrase="chaos-passphrase",
            pos_mode="long_short_mode",
        )
        for name, venue in several
    ]


def _pairs(values: dict[str, Any]) -> list[str]:
    return [f"{name} = {value!r}".replace("'", '"') for name, value in values.items()]
