"""The command line, one file a command: `leverage-gateway`, the same as `python -m gateway`.

Every command ends with one of the exit codes of `exits`, and no mistake of a user ends in a traceback.
"""

from collections.abc import Sequence
from importlib.metadata import version

from cyclopts import App, Parameter

from gateway.cli.exits import exit_with

COMMANDS = {
    "run": "gateway.cli.run:run",
    "demo": "gateway.cli.demo:demo",
    "simulate": "gateway.cli.simulate:simulate",
    "send": "gateway.cli.send:send",
    "watch": "gateway.cli.watch:watch",
    "check-config": "gateway.cli.check_config:check_config",
}
TOPICS = {"create": "gateway.cli.topics:create", "check": "gateway.cli.topics:check"}


def make_app() -> App:
    """The whole command line; each command's module is imported when it is called."""
    app = App(
        name="leverage-gateway",
        help="Sets leverage at exchanges: commands in from Kafka, venue calls out, exactly one answer each.",
        version=lambda: version("leverage-gateway"),
        default_parameter=Parameter(negative=()),
    )
    for name, target in COMMANDS.items():
        app.command(target, name=name)
    topics = App(name="topics", help="Make or check the four Kafka topics.")
    for name, target in TOPICS.items():
        topics.command(target, name=name)
    app.command(topics)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line, that of the process without arguments, and leave the process with its exit code."""
    app = make_app()
    exit_with(lambda: app(arguments, result_action="return_value"))
