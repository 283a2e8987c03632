"""The settings a gateway needs for simulated accounts: its secret files and the TOML tables that name them.

The demo, tests and chaos runs start a gateway with what this writes, beside tables of their own.
"""

from collections.abc import Iterable
from pathlib import Path

from gateway.simulator.accounts import SimulatedAccount

_FILES = (
    ("api_key", "api_key_file"),
    ("secret", "api_secret_file"),
    ("private_key", "private_key_file"),
    ("passphrase", "passphrase_file"),
)


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
    tables = [f'[venues.{venue}]\nbase_url = "{simulator_url}/{venue}"\n' for venue in venues]
    tables += [account_table(folder, account) for account in listed]
    path = folder / name
    path.write_text("\n".join(([head.rstrip() + "\n"] if head else []) + tables), "utf-8")
    return path


def account_table(folder: Path, account: SimulatedAccount) -> str:
    """Write one account's secret files, and return the TOML table that names them relative to `folder`."""
    place = Path("secrets") / account.name / account.venue
    (folder / place).mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = [f'[accounts."{account.name}".{account.venue}]']
    for field, setting in _FILES:
        secret = getattr(account, field)
        # The passphrase is OKX's; an account file may give one to every venue.
        if secret is not None and (field != "passphrase" or account.venue == "okx"):
            _write_secret(folder / place / field, secret)
            lines.append(f'{setting} = "{(place / field).as_posix()}"')
    if account.simulated and account.venue == "okx":
        lines.append("simulated = true")
    return "\n".join(lines) + "\n"


def _write_secret(path: Path, secret: str) -> None:
    path.touch(mode=0o600)
    path.write_text(secret, "utf-8")
