"""`leverage-gateway check-config`: the settings read as `run` reads them, without connecting."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from gateway.cli.exits import DONE, WRONG_USAGE
from gateway.cli.options import ConfigOption, JsonOption, read_settings
from gateway.cli.printing import print_json, print_line, print_table
from gateway.settings import CredentialSettings, Settings
from gateway.settings_checks import readable_by_all
from gateway.settings_file import Problem, SettingsError, base_dir_of
from gateway.venues.catalogue import venues
from gateway.venues.keys import CredentialError, load_credentials
from gateway.venues.venue import Venue


def check_config(*, config: ConfigOption = None, json: JsonOption = False) -> int:
    """Read the settings and every key file, and say all that is wrong; connects to nothing.

    Exits 2 where something is wrong. With --json: {"ok", "problems", "warnings", "accounts"}.

    Examples:
        leverage-gateway check-config --config gateway.toml
    """
    try:
        settings = read_settings(config)
        _load_keys(settings, config)
    except SettingsError as error:
        if not json:
            raise
        print_json({"ok": False, "problems": error.problems})
        return WRONG_USAGE
    warnings = [
        f"{setting}: every user may read the file" for setting in readable_by_all(settings, base_dir_of(config))
    ]
    if json:
        print_json({"ok": True, "problems": [], "warnings": warnings, "accounts": _accounts(settings)})
        return DONE
    print_table(("account", "venue", "address", "key"), [tuple(row.values()) for row in _accounts(settings)])
    for warning in warnings:
        print_line(f"warning: {warning}")
    print_line("The settings are right.")
    return DONE


def _load_keys(settings: Settings, config: Path | None) -> None:
    """SettingsError where a file is there but holds no usable key."""
    problems: list[Problem] = []
    for account, venue, keys in _credentials(settings):
        try:
            load_credentials(keys, base_dir_of(config))
        except CredentialError as error:
            path = f"accounts.{account}.{venue}"
            problems.append(Problem(source=str(config or "settings"), path=path, remedy=str(error)))
    if problems:
        raise SettingsError(problems)


def _accounts(settings: Settings) -> list[dict[str, str]]:
    known: Mapping[str, Venue] = venues()
    return [
        {
            "account": account,
            "venue": venue,
            "address": getattr(settings.venues, venue).base_url or known[venue].base_url,
            "key": "private key" if keys.private_key_file else "HMAC",
        }
        for account, venue, keys in _credentials(settings)
    ]


def _credentials(settings: Settings) -> Iterator[tuple[str, str, CredentialSettings]]:
    for account, held in settings.accounts.items():
        for venue, keys in msgspec.structs.asdict(held).items():
            if keys is not None:
                yield account, venue, keys
