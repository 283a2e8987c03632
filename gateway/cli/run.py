"""`leverage-gateway run`: the gateway itself."""

import asyncio
import platform
import sys
from typing import Any

import structlog
import uvloop

from gateway.cli.collecting import rest_from_collecting
from gateway.cli.exits import DONE, explain
from gateway.cli.options import ConfigOption, read_settings
from gateway.cli.process import keep_memory_private
from gateway.settings.checks import exposed_secrets, secret_texts
from gateway.settings.file import base_dir_of
from gateway.settings.tree import Settings
from gateway.settings.venue_checks import clear_venues
from gateway.telemetry.lines import LineWriter
from gateway.telemetry.logging import is_for_people, set_up_logging
from gateway.version import version

SETTINGS_NAMED = 5  # of secret files that others may read; five hundred accounts are no reason for as many lines


def run(*, config: ConfigOption = None) -> int:
    """Run the gateway until SIGTERM, SIGINT or SIGHUP; then it drains and leaves.

    Logs go to standard error. `/livez`, `/readyz` and `/metrics` are at `http.listen`.

    ```sh
    leverage-gateway run --config gateway.toml
    GATEWAY_KAFKA__BOOTSTRAP_SERVERS=kafka:9092 leverage-gateway run --config gateway.toml
    ```
    """
    settings = read_settings(config)
    with LineWriter(sys.stderr.fileno()) as lines:
        try:
            _run(settings, config, lines)
        except Exception as error:
            told = explain(error)
            if told is None or is_for_people(settings.logging, lines):
                raise
            _log().error("failed_gateway", error=told[1], exit_code=told[0])
            return told[0]
    return DONE


def _run(settings: Settings, config: ConfigOption, lines: LineWriter) -> None:
    from gateway import app  # noqa: PLC0415 - the whole gateway, which no other command needs

    keep_memory_private()
    base_dir = base_dir_of(config)
    guard = set_up_logging(settings.logging, secrets=secret_texts(settings, base_dir), stream=lines)
    if exposed := exposed_secrets(settings, base_dir):
        remedy = "take the permissions for others away: mode 0640 or less; in Kubernetes defaultMode 0440 and fsGroup"
        _log().warning("found_exposed_secrets", settings=exposed[:SETTINGS_NAMED], files=len(exposed), remedy=remedy)
    if clear := clear_venues(settings):
        _log().warning("calls_in_the_clear", settings=clear, remedy="https; allow_http is for simulated venues")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = type(runner.get_loop()).__module__
        versions = {
            "version": version(),
            "python": platform.python_version(),
            "uvloop": uvloop.__version__,
        }
        _log().info("started_process", event_loop=loop, config=str(config) if config else None, **versions)

        def keys_changed() -> None:
            guard.learn(secret_texts(settings, base_dir))

        rest_from_collecting()
        runner.run(app.run(settings, base_dir=base_dir, keys_changed=keys_changed, dropped_lines=lambda: lines.dropped))


def _log() -> Any:
    return structlog.get_logger("gateway")
