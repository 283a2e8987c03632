"""What a chaos run needs on disk: the accounts that simulator and gateways share, and each gateway's settings file."""

from pathlib import Path
from typing import Any

from gateway.settings.tree import Topics
from gateway.simulator import SimulatedAccount, accounts
from gateway.simulator.config import account_table
from tests.chaos.generator import Plan

CALL_TIMEOUT = 0.8  # seconds; faults that delay stay below it
SESSION_TIMEOUT_MS = 3_000

LIMITS = {
    "binance_usdm": ("ip_weight",),
    "binance_portfolio": ("ip_weight",),
    "okx": ("uid_set_leverage", "uid_leverage_info", "ip_time"),
    "ztdx": ("ip_weight",),
}
PLENTY = 10_000_000  # order is on trial here, not the budget


def write_accounts(folder: Path, plan: Plan) -> Path:
    """The simulator's accounts: every account of the plan at every venue of it."""
    path = folder / "accounts.toml"
    accounts.write_accounts(path, _accounts(plan))
    return path


def write_settings(
    folder: Path, name: str, plan: Plan, *, bootstrap_servers: str, topics: Topics, simulator_url: str, static: bool
) -> Path:
    """One gateway's settings; `static` gives it a membership that survives a quick restart."""
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
    lines += ["[venues.binance_margin]", f"call_timeout = {CALL_TIMEOUT}", "settles_within = 0.1"]
    for venue in plan.venues:
        lines += [f"[venues.{venue}]", f'base_url = "{simulator_url}/{venue}"', f"call_timeout = {CALL_TIMEOUT}"]
        lines += ["settles_within = 0.1"]
        lines += ["deadline = 120.0", "breaker_failures = 1000", "max_attempts = 20", "backoff_cap = 0.5"]
        for limit in LIMITS[venue]:
            lines += [f"[venues.{venue}.limits.{limit}]", f"capacity = {PLENTY}", "assume_spent_at_start = false"]
    lines += [account_table(folder, account) for account in _accounts(plan)]
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def _accounts(plan: Plan) -> list[SimulatedAccount]:
    return [
        SimulatedAccount(
            name=name,
            venue=venue,
            api_key=f"key-of-{name}-at-{venue}",
            secret="chaos-secret-0123456789",
            passphrase="chaos-passphrase",
            pos_mode="long_short_mode",
        )
        for name in plan.accounts
        for venue in plan.venues
    ]


def _pairs(values: dict[str, Any]) -> list[str]:
    return [f"{name} = {value!r}".replace("'", '"') for name, value in values.items()]
