"""Options that several commands share, and the settings they lead to."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from aiokafka.errors import KafkaError
from cyclopts import Parameter

from gateway.client import Client, UnansweredError, UnconfirmedError, connect
from gateway.kafka.bootstrap import reachable
from gateway.kafka.connection import client_options, unreachable
from gateway.settings.checks import credentials_of
from gateway.settings.file import SettingProblem, SettingsError, base_dir_of, load_settings
from gateway.settings.tree import Settings
from gateway.venues.catalogue import venues
from gateway.venues.keys import CredentialError, load_credentials

ConfigOption = Annotated[
    Path | None, Parameter(name="--config", help="Settings file (TOML); without one, defaults and GATEWAY_ variables.")
]
JsonOption = Annotated[
    bool, Parameter(name="--json", help="JSON on standard output, for programs.", show_default=False)
]


def read_settings(config: Path | None, *, with_accounts: bool = True, with_edge: bool = False) -> Settings:
    """The settings of a command, and with accounts their keys tried too; SettingsError tells all that is wrong."""
    limit_names = {name: [limit.name for limit in venue.limits] for name, venue in venues().items()}
    try:
        settings = load_settings(
            config, os.environ, limit_names=limit_names, with_accounts=with_accounts, with_edge=with_edge
        )
    except SettingsError as error:
        raise _without_a_file(error) if config is None and (with_accounts or with_edge) else error from None
    if with_accounts:
        _check_keys(settings, config)
    return settings


def _without_a_file(error: SettingsError) -> SettingsError:
    """Says first that no file was named: accounts come from nowhere else."""
    remedy = "no settings file was named; name one, as in --config gateway.toml"
    return SettingsError([SettingProblem(source="settings", path="", remedy=remedy), *error.problems])


def _check_keys(settings: Settings, config: Path | None) -> None:
    """SettingsError where a file is there but holds no key that its venue signs with."""
    problems: list[SettingProblem] = []
    for account, venue, keys in credentials_of(settings):
        try:
            load_credentials(keys, base_dir_of(config))
        except CredentialError as error:
            path = f"accounts.{account}.{venue}.{error.setting}"
            problems.append(SettingProblem(source=str(config or "settings"), path=path, remedy=error.problem))
    if problems:
        raise SettingsError(problems)


@asynccontextmanager
async def connected(settings: Settings, config: Path | None) -> AsyncGenerator[Client]:
    """A client of the topics that the settings name; what goes wrong with Kafka inside is UnreachableError."""
    options: dict[str, Any] = await reachable(settings.kafka, client_options(settings.kafka, base_dir_of(config)))
    servers = ",".join(options.pop("bootstrap_servers"))
    try:
        async with connect(f"kafka://{servers}", topics=settings.kafka.topics, **options) as client:
            yield client
    except (BrokenPipeError, UnansweredError, UnconfirmedError):
        raise
    except (KafkaError, OSError) as error:
        raise unreachable(settings.kafka, error) from error
