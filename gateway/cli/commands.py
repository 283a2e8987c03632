"""All commands as one command line; each has a file of its own beside this.

`main` of the package reads it first, and leaves with what comes of it.
"""

from collections.abc import Sequence
from typing import NoReturn

from cyclopts import App, CycloptsError, CycloptsPanel, Parameter, UnusedCliTokensError
from rich.panel import Panel

from gateway.cli.check_config import check_config
from gateway.cli.dead_letters import make_dead_letters_app
from gateway.cli.demo import demo
from gateway.cli.exits import WRONG_USAGE, exit_with
from gateway.cli.freeze import freeze, lower_only, thaw
from gateway.cli.policy import make_policy_app
from gateway.cli.run import run
from gateway.cli.send import send
from gateway.cli.serve import serve
from gateway.cli.simulate import simulate
from gateway.cli.topics import check, create
from gateway.cli.watch import watch
from gateway.settings.tree import LoggingSettings
from gateway.telemetry.logging import set_up_logging
from gateway.version import version


def make_app() -> App:
    """The whole command line; commands' docstrings are their help."""
    app = App(
        name="leverage-gateway",
        help="Sets leverage at exchanges: commands in from Kafka, venue calls out, exactly one answer each.",
        help_format="markdown",
        version=version,
        default_parameter=Parameter(negative=()),
        error_formatter=_told,
    )
    topics = App(name="topics", help="Make or check the six Kafka topics.")
    for command in (run, serve, demo, simulate, send, watch, check_config, freeze, lower_only, thaw):
        app.command(command)
    for command in (create, check):
        topics.command(command)
    app.command(topics)
    app.command(make_dead_letters_app())
    app.command(make_policy_app())
    return app


def _told(error: CycloptsError) -> Panel:
    """The parser's own words, and how to name a settings file where one may be meant."""
    if isinstance(error, UnusedCliTokensError) and _takes_config(error.app):
        return CycloptsPanel(f"{error} If that is a settings file, write --config FILE.")
    return CycloptsPanel(error)


def _takes_config(command: App | None) -> bool:
    return command is not None and "--config" in command.assemble_argument_collection()


def call_and_exit(tokens: Sequence[str]) -> NoReturn:
    """Run one command line, and leave the process with its exit code."""
    set_up_logging(LoggingSettings(format="console", level="error"))
    exit_with(lambda: _call(make_app(), list(tokens)))


def _call(app: App, tokens: list[str]) -> int | None:
    code: int | None = app(tokens, result_action="return_value")
    return (
        WRONG_USAGE if tokens in ([], ["topics"], ["dead-letters"], ["policy"]) else code
    )  # help was shown, though nobody asked for it
