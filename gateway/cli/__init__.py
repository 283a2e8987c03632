"""The command line, one file a command: `leverage-gateway`, the same as `python -m gateway`.

Every command ends with one of the exit codes of `exits`, and no mistake of a user ends in a traceback.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

_INTERRUPTED = 130  # as shells say it of SIGINT


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command line, that of the process without arguments, and leave the process with its exit code."""
    try:
        from gateway.cli.commands import call_and_exit  # noqa: PLC0415 - Ctrl-C while this reads is no bug of ours

        call_and_exit(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
