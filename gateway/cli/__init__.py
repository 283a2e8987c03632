"""The command line, one file a command: `leverage-gateway`, the same as `python -m gateway`.

Every command ends with one of the exit codes of `exits`, and no mistake of a user ends in a traceback.
"""

import os
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NoReturn

_WRONG_USAGE, _NOT_THERE = 2, 3  # as `exits` has them, which is read later
_INTERRUPTED = 130  # as shells say it of SIGINT
_RUNS_ON = ("run", "serve", "simulate", "watch")  # until they are told to stop


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command line, that of the process without arguments, and leave the process with its exit code."""
    _open_standard_streams()
    tokens = sys.argv[1:] if arguments is None else list(arguments)
    if tokens[:1] and tokens[0] in _RUNS_ON:
        for name in (signal.SIGTERM, signal.SIGHUP):  # until the command has handlers of its own: nothing has begun
            signal.signal(name, _leave)
        for name in (signal.SIGUSR1, signal.SIGUSR2):  # sent by habit, to have logs reopened: no reason to die
            signal.signal(name, signal.SIG_IGN)
    try:
        "".join(tokens).encode()
        _check_installed()
        from gateway.cli.commands import call_and_exit  # noqa: PLC0415 - Ctrl-C while this reads is no bug of ours

        call_and_exit(tokens)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except UnicodeEncodeError:
        sys.stderr.write("the arguments are not UTF-8; set a locale that is, such as LC_ALL=C.UTF-8\n")
        sys.exit(_WRONG_USAGE)


def _check_installed() -> None:
    """End with the remedy where only the client is installed."""
    if find_spec("cyclopts") is None:
        sys.stderr.write("the command line is an extra: pip install 'leverage-gateway[gateway]'\n")
        sys.exit(_NOT_THERE)


def _leave(_signal: int, _frame: object) -> NoReturn:
    sys.exit(0)


def _open_standard_streams() -> None:
    """Give closed ones to /dev/null: else the next socket or file gets their number, and libuv aborts on its close."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))
