"""`leverage-gateway run`: the gateway itself."""

import asyncio
import platform
from typing import Any

import structlog
import uvloop

from gateway.cli.exits import DONE
from gateway.cli.options import ConfigOption, read_settings
from gateway.settings.checks import readable_by_all, secret_texts
from gateway.settings.file import base_dir_of
from gateway.telemetry.logging import set_up_logging
from gateway.version import version


def run(*, config: ConfigOption = None) -> int:
    """Run the gateway until SIGTERM or SIGINT; then it drains and leaves.

    Logs go to standard error. `/livez`, `/readyz` and `/metrics` are at `http.listen`.

    ```sh
    leverage-gateway run --config gateway.toml
    GATEWAY_KAFKA__BOOTSTRAP_SERVERS=kafka:9092 leverage-gateway run --config gateway.toml
    ```
    """
    from gateway import app  # noqa: PLC0415 - the whole gateway, which no other command needs

    settings = read_settings(config)
    base_dir = base_dir_of(config)
    guard = set_up_logging(settings.logging, secrets=secret_texts(settings, base_dir))
    log: Any = structlog.get_logger("gateway")
    for setting in readable_by_all(settings, base_dir):
        log.warning("found_readable_secret", setting=setting, remedy="take the file's permissions for others away")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = type(runner.get_loop()).__module__
        versions = {
            "version": version(),
            "python": platform.python_version(),
            "uvloop": uvloop.__version__,
        }
        log.info("started_process", event_loop=loop, config=str(config) if config else None, **versions)

        def keys_changed() -> None:
            guard.learn(secret_texts(settings, base_dir))

        runner.run(app.run(settings, base_dir=base_dir, keys_changed=keys_changed))
    return DONE
