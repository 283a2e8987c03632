"""Exit codes, and which error ends with which: 0 done, 1 the answer is no, 2 wrong usage or settings, 3 out of reach.

The command line parser has its own way out for wrong usage, with code 2 too.
"""

import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn, cast

from aiokafka.errors import KafkaError

from gateway.client import MissingTopicError
from gateway.kafka.connection import UnreachableError
from gateway.settings.certificates import CertificateError
from gateway.settings.file import SettingsError
from gateway.telemetry.server import ListenError
from gateway.venues.keys import CredentialError

DONE = 0
NO = 1
WRONG_USAGE = 2
OUT_OF_REACH = 3


class UsageError(Exception):
    """Raised where a command line cannot be meant; its text says what would be right."""


def exit_with(command: Callable[[], Any]) -> NoReturn:
    """Leave the process with the command's code, or with that of the error it ended in, told in plain words."""
    try:
        code = command() or DONE
    except BrokenPipeError:  # whoever read our output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
    except Exception as error:
        told = _told(_innermost(error))
        if told is None:
            raise
        sys.stderr.write(f"{told[1]}\n")
        code = told[0]
    sys.exit(code)


def _innermost(error: BaseException) -> BaseException:
    """The error that a task group wrapped, where it is one."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def _told(error: BaseException) -> tuple[int, str] | None:
    """The exit code and the words for an error of a user or of the surroundings; None for our own bugs."""
    match error:
        case SettingsError() | UsageError() | CredentialError() | CertificateError():
            return WRONG_USAGE, str(error)
        case MissingTopicError():
            return OUT_OF_REACH, f"{error}; `leverage-gateway topics create` makes it"
        case UnreachableError() | ListenError():
            return OUT_OF_REACH, str(error)
        case KafkaError():
            return OUT_OF_REACH, f"Kafka: {error or type(error).__name__}"
        case _:
            return None
