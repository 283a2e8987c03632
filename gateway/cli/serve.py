"""`leverage-gateway serve`: the edge."""

import asyncio
import platform
import resource
import sys
from typing import Any

import structlog
import uvloop

from gateway.cli.collecting import rest_from_collecting
from gateway.cli.exits import DONE, explain
from gateway.cli.options import ConfigOption, read_settings
from gateway.cli.process import keep_memory_private
from gateway.settings.addresses import is_loopback, parse_listen
from gateway.settings.checks import exposed_secrets, secret_texts
from gateway.settings.file import base_dir_of
from gateway.settings.tree import Settings
from gateway.telemetry.lines import LineWriter
from gateway.telemetry.logging import is_for_people, set_up_logging
from gateway.version import version


def serve(*, config: ConfigOption = None) -> int:
    """Serve snapshots, the stream and commands over HTTP and WebSocket until SIGTERM; then it drains and leaves.

    Needs no venue and no keys: `[kafka]`, `[edge]` and `[edge.tokens.<name>]`. Logs go to standard error.

    ```sh
    leverage-gateway serve --config edge.toml
    curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8081/v1/leverage
    ```
    """
    settings = read_settings(config, with_accounts=False, with_edge=True)
    with LineWriter(sys.stderr.fileno()) as lines:
        try:
            _serve(settings, config, lines)
        except Exception as error:
            told = explain(error)
            if told is None or is_for_people(settings.logging, lines):
                raise
            _log().error("failed_edge", error=told[1], exit_code=told[0])
            return told[0]
    return DONE


def _serve(settings: Settings, config: ConfigOption, lines: LineWriter) -> None:
    from gateway.edge import app  # noqa: PLC0415 - the whole edge, which no other command needs

    keep_memory_private()
    base_dir = base_dir_of(config)
    descriptors = _allow_connections()
    set_up_logging(settings.logging, secrets=secret_texts(settings, base_dir), stream=lines)
    if exposed := exposed_secrets(settings, base_dir):
        _log().warning("found_exposed_secrets", settings=exposed[:5], files=len(exposed), remedy="mode 0640 or less")
    if settings.edge.tls_certfile is None and not is_loopback(parse_listen(settings.edge.listen)[0]):
        remedy = "edge.tls_certfile, or a proxy that speaks TLS before it"
        _log().warning("listens_without_tls", listen=settings.edge.listen, remedy=remedy)
    _log().info("started_process", version=version(), python=platform.python_version(), config=str(config or ""))
    if descriptors < settings.edge.max_connections:
        remedy = "raise the limit of open files (ulimit -n, LimitNOFILE), or lower edge.max_connections"
        _log().warning("found_few_descriptors", descriptors=descriptors, remedy=remedy)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rest_from_collecting()
        runner.run(app.serve(settings, base_dir=base_dir))


def _allow_connections() -> int:
    """Let this process open as many files as it may, and say how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else sys.maxsize


def _log() -> Any:
    return structlog.get_logger("gateway")
