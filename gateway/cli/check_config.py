"""`leverage-gateway check-config`: the settings read as `run` reads them, without connecting."""

from typing import Annotated

from cyclopts import Parameter

from gateway.cli.exits import DONE, WRONG_USAGE
from gateway.cli.options import ConfigOption, JsonOption, read_settings
from gateway.cli.printing import print_json, print_line, print_table
from gateway.settings.checks import credentials_of, exposed_secrets
from gateway.settings.file import SettingsError, base_dir_of
from gateway.settings.tree import Settings
from gateway.settings.venue_checks import clear_venues
from gateway.venues.accounts import accounts_of_one_user
from gateway.venues.catalogue import venues


def check_config(
    *,
    config: ConfigOption = None,
    json: JsonOption = False,
    strict: Annotated[bool, Parameter(help="Warnings are problems too.", show_default=False)] = False,
) -> int:
    """Read the settings and every key file, and say all that is wrong; connects to nothing.

    Exits 2 where something is wrong. With --json: {"ok", "problems", "warnings", "accounts"}.

    ```sh
    leverage-gateway check-config --config gateway.toml
    ```
    """
    try:
        settings = read_settings(config, with_edge=True)
    except SettingsError as error:
        if not json:
            raise
        print_json({"ok": False, "problems": error.problems})
        return WRONG_USAGE
    base_dir = base_dir_of(config)
    exposed = exposed_secrets(settings, base_dir)
    warnings = [f"{setting}: every user of this machine may read or change the file" for setting in exposed]
    warnings += [f"{setting}: PLAIN HTTP, for simulated venues only (allow_http)" for setting in clear_venues(settings)]
    code = WRONG_USAGE if strict and warnings else DONE
    warnings += [
        f"accounts {', '.join(names)} have one API key at {venue}: they are one user there and share its limits"
        for venue, names in accounts_of_one_user(settings.accounts, base_dir)
    ]
    if json:
        print_json({"ok": code == DONE, "problems": [], "warnings": warnings, "accounts": _accounts(settings)})
        return code
    print_table(("account", "venue", "address", "key"), [tuple(row.values()) for row in _accounts(settings)])
    for warning in warnings:
        print_line(f"warning: {warning}")
    print_line("The settings are right." if code == DONE else "The settings have warnings, and --strict is set.")
    return code


def _accounts(settings: Settings) -> list[dict[str, str]]:
    base_urls: dict[str, str] = {name: venue.base_url for name, venue in venues().items()}
    return [
        {
            "account": account,
            "venue": venue,
            "address": getattr(settings.venues, venue).base_url or base_urls[venue],
            "key": "private key" if keys.private_key_file else "HMAC",
        }
        for account, venue, keys in credentials_of(settings)
    ]
