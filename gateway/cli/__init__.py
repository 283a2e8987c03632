"""The command line, one file a command: `leverage-gateway`, the same as `python -m gateway`.

Every command ends with one of the exit codes of `exits`, and no mistake of a user ends in a traceback.
"""

import sys
from collections.abc import Sequence

from cyclopts import App, Parameter

from gateway.cli.exits import WRONG_USAGE, exit_with
from gateway.release import version
from gateway.settings import LoggingSettings
from gateway.telemetry.logging import set_up_logging

COMMANDS = {
    "run": ("gateway.cli.run:run", "Run the gateway until SIGTERM or SIGINT; then it drains and leaves."),
    "demo": ("gateway.cli.demo:demo", "See all of it work on this machine."),
    "simulate": ("gateway.cli.simulate:simulate", "Run the simulated venues alone."),
    "send": ("gateway.cli.send:send", "Publish one command, and wait for its event where asked."),
    "watch": ("gateway.cli.watch:watch", "Print events as they come."),
    "check-config": ("gateway.cli.check_config:check_config", "Read the settings and say what is wrong."),
}
TOPICS = {
    "create": ("gateway.cli.topics:create", "Make the topics that are not there."),
    "check": ("gateway.cli.topics:check", "Compare the topics with the settings."),
}


def make_app() -> App:
    """The whole command line; each command's module is imported when it is called."""
    app = App(
        name="leverage-gateway",
        help="Sets leverage at exchanges: commands in from Kafka, venue calls out, exactly one answer each.",
        version=version,
        default_parameter=Parameter(negative=()),
    )
    topics = App(name="topics", help="Make or check the four Kafka topics.")
    app.command(topics)
    for parent, commands in ((app, COMMANDS), (topics, TOPICS)):
        for name, (target, about) in commands.items():
            parent.command(target, name=name, help=about)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line, that of the process without arguments, and leave the process with its exit code."""
    set_up_logging(LoggingSettings(format="console", level="error"))
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    exit_with(lambda: _call(make_app(), tokens))


def _call(app: App, tokens: list[str]) -> int | None:
    code: int | None = app(tokens, result_action="return_value")
    return WRONG_USAGE if tokens in ([], ["topics"]) else code  # help was shown, though nobody asked for it
