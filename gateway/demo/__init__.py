"""The gateway at work on one machine, with nothing but Python: embedded broker, simulated venues, sample commands.

In order: `embedded` is the broker, `scenario` the commands, `stage` all that runs, `play` the acts, `second_act` the
dead letter's, `stream_act` the edge's, `report` the tables.
"""

import asyncio
import sys

import uvloop
from rich.console import Console

from gateway.demo.embedded import EmbeddedMissingError
from gateway.demo.play import play
from gateway.demo.report import print_report
from gateway.settings.tree import LoggingSettings
from gateway.telemetry.logging import set_up_logging

_PIPE_WIDTH = 160


def main() -> int:
    """Run the demo: 0 when every command was answered as it should be, 1 when not, 3 without the extra `embedded`."""
    set_up_logging(LoggingSettings(level="error"))
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            played = runner.run(play(console))
    except EmbeddedMissingError as missing:
        sys.stderr.write(f"{missing}\n")
        return 3
    except KeyboardInterrupt:
        return 130
    print_report(played.answered, played.redriven, played.stream, console)
    return 0 if played.is_as_it_should_be else 1
