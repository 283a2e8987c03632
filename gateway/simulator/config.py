"""The settings a gateway needs for simulated accounts: its secret files and what names them.

The demo, tests and chaos runs start a gateway with what this writes, beside tables of their own.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from gateway.settings.addresses import is_clear
from gateway.settings.tree import AccountSettings, CredentialSettings
from gateway.simulator.accounts import SimulatedAccount


def write_gateway_config(
    folder: Path,
    accounts: Iterable[SimulatedAccount],
    *,
    simulator_url: str,
    name: str = "gateway.toml",
    head: str = "",
) -> Path:
    """Write secret files and a settings file for these accounts, and return the settings file's path.

    Args:
        folder: where both go; made if it is not there.
        accounts: those that the gateway trades for.
        simulator_url: the simulator's `url`, without a slash at the end.
        name: the settings file's name.
        head: TOML to put before the tables, such as `[kafka]`; no `[venues.…]` of these venues, no `[accounts.…]`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed = tuple(accounts)
    venues = sorted({account.venue for account in listed})
    allow = "allow_http = true   # whoever is on the way may read and change calls\n" if is_clear(simulator_url) else ""
    tables = [f'[venues.{venue}]\nbase_url = "{simulator_url}/{venue}"\n{allow}' for venue in venues]
    tables += [account_table(folder, account) for account in listed]
    path = folder / name
    path.write_text("\n".join(([head.rstrip() + "\n"] if head else []) + tables), "utf-8")
    return path


def account_table(folder: Path, account: SimulatedAccount) -> str:
    """Write one account's secret files, and return the TOML table that names them relative to `folder`."""
    settings = msgspec.to_builtins(write_credentials(folder, account))
    # JSON's texts and booleans are TOML's too; TOML has no null.
    lines = [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in settings.items() if value]
    return "\n".join([f'[accounts."{account.name}".{account.venue}]', *lines]) + "\n"


def account_settings(folder: Path, accounts: Iterable[SimulatedAccount]) -> dict[str, AccountSettings]:
    """Write these accounts' secret files, and return what a gateway's `accounts` says of them."""
    settings: dict[str, AccountSettings] = {}
    for account in accounts:
        before = settings.get(account.name, AccountSettings())
        credentials = {account.venue: write_credentials(folder, account)}
        settings[account.name] = msgspec.structs.replace(before, **credentials)
    return settings


def write_credentials(folder: Path, account: SimulatedAccount) -> CredentialSettings:
    """Write one account's secret files, and return the settings that name them relative to `folder`."""
    place = Path("secrets") / account.name / account.venue
    (folder / place).mkdir(parents=True, exist_ok=True, mode=0o700)
    at_okx = account.venue == "okx"  # an account file may give every venue what is OKX's only

    def file(name: str, secret: str | None) -> str | None:
        return None if secret is None else _write_secret(folder, place / name, secret)

    return CredentialSettings(
        api_key_file=_write_secret(folder, place / "api_key", account.api_key),
        api_secret_file=file("secret", account.secret),
        private_key_file=file("private_key", account.private_key),
        passphrase_file=file("passphrase", account.passphrase) if at_okx else None,
        simulated=account.simulated and at_okx,
    )


def _write_secret(folder: Path, path: Path, secret: str) -> str:
    (folder / path).touch(mode=0o600)
    (folder / path).write_text(secret, "utf-8")
    return path.as_posix()
