"""Exit codes, and which error ends with which: 0 done, 1 the answer is no, 2 wrong usage or settings, 3 out of reach.

All errors of the product, by where they end. Each is raised with a text for people; a bug is any other, and exits 1
with its traceback.

```
Exception
├─ exit 2: a person has to change something here
│  ├─ UsageError            a command line that cannot be meant
│  ├─ SettingsError         settings; all that is wrong at once
│  ├─ CredentialError       a venue's key file
│  ├─ CertificateError      a certificate file for the brokers
│  ├─ SecretFileError       a password's file
│  ├─ RedisMissingError     a shared limit without the extra `redis`
│  ├─ TracesMissingError    traces without the extra `traces`
│  ├─ PlanError             a file that is no plan of a redrive
│  ├─ DraftError            a file with no corrected command of a dead letter
│  ├─ PolicyFileError       a file of caps; all that is wrong at once
│  └─ OperatorKeyError      an operator's key file
├─ exit 1: the answer is no
│  ├─ TakenOverError        somebody else redrives the same partition of dead letters
│  ├─ StoppedError          a redrive that stopped before its plan was done
│  ├─ NotMendableError      a dead letter that is a command, done, gone or another
│  └─ PolicyRefusedError    a freeze, thaw or policy that every replica would refuse
├─ exit 3: something out there is not as needed
│  ├─ UnreachableError      Kafka: no broker, no login, no right, no answer in time
│  ├─ ForeignAnswersError   another consumer group answers the same commands
│  ├─ UnansweredError       no answer to a command in time
│  ├─ UnconfirmedError      Kafka did not confirm a command in time
│  ├─ MissingTopicError     a topic that is not there
│  ├─ ListenError           an address to listen on
│  ├─ EmbeddedMissingError  the demo without the extra `embedded`, which ends the demo itself
│  ├─ TokenError            no token to log in with at Kafka
│  └─ aiokafka's KafkaError
└─ never leaves the process: an answer, a retry or a takeover comes of it
   ├─ DecodeError           a record that is no message (a ValueError)
   ├─ NotOwnerError         a partition that went to another
   ├─ MembershipBrokenError a membership that hands out no records any more; the group is joined anew
   ├─ TopicMadeAnewError    commands of a topic made anew under us; the group is joined anew
   ├─ UnaskedCancellationError  what the client library cancelled of ours; it is begun anew
   ├─ DamagedBatchError     a batch whose checksum is wrong; it is fetched again, at last passed over
   ├─ TooLargeError         a batch that unpacks to more than is read (a ValueError)
   ├─ RecordRefusedError    an answer that Kafka will never take as it is
   ├─ LimitLoweredError     a call for which the budget became too small while it waited
   ├─ LimitFrozenError      a call in line when a long pause of its limits began; it thinks again
   ├─ StalledError          a call for which there is no room to wait: its venue does not answer
   ├─ WithdrawnError        a call that may not be sent any more, now that its connection stands
   ├─ UnaskedError          a connection on which a venue talks before it was asked
   ├─ StoreGoneError        the store of shared limits
   ├─ DoorError             a request to the edge that is refused
   ├─ ForbiddenAccountError a filter for what its token does not open
   ├─ NotTakenError         a command of the edge's that Kafka did not confirm
   ├─ GoneError             events that are not kept any more; a new snapshot comes of it
   └─ OtherLogError         an events topic that was made anew; all is read anew
```

What `gateway.client` raises for engines is theirs to catch; only those of them that commands meet are here.
The command line parser has its own way out for wrong usage, with code 2 too.
"""

import os
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn, cast

from aiokafka.errors import KafkaError

from gateway.client import MissingTopicError, UnansweredError, UnconfirmedError
from gateway.client.dead_letters import DraftError, NotMendableError, PlanError, StoppedError, TakenOverError
from gateway.kafka.connection import UnreachableError
from gateway.limits.connection import RedisMissingError
from gateway.ownership.ports import ForeignAnswersError
from gateway.policy.board import PolicyRefusedError
from gateway.policy.file import PolicyFileError
from gateway.settings.certificates import CertificateError
from gateway.settings.file import SettingsError
from gateway.settings.operators import OperatorKeyError
from gateway.settings.secret_files import SecretFileError
from gateway.telemetry.server import ListenError
from gateway.telemetry.traces import TracesMissingError
from gateway.venues.keys import CredentialError

DONE = 0
NO = 1
WRONG_USAGE = 2
OUT_OF_REACH = 3


class UsageError(Exception):
    """Raised where a command line cannot be meant; its text says what would be right."""


_EXITS: Mapping[type[Exception], int] = MappingProxyType(
    {
        UsageError: WRONG_USAGE,
        SettingsError: WRONG_USAGE,
        CredentialError: WRONG_USAGE,
        CertificateError: WRONG_USAGE,
        SecretFileError: WRONG_USAGE,
        RedisMissingError: WRONG_USAGE,
        TracesMissingError: WRONG_USAGE,
        PlanError: WRONG_USAGE,
        DraftError: WRONG_USAGE,
        PolicyFileError: WRONG_USAGE,
        OperatorKeyError: WRONG_USAGE,
        TakenOverError: NO,
        StoppedError: NO,
        NotMendableError: NO,
        PolicyRefusedError: NO,
        UnreachableError: OUT_OF_REACH,
        ForeignAnswersError: OUT_OF_REACH,
        MissingTopicError: OUT_OF_REACH,
        UnansweredError: OUT_OF_REACH,
        UnconfirmedError: OUT_OF_REACH,
        ListenError: OUT_OF_REACH,
        KafkaError: OUT_OF_REACH,
    }
)


def exit_with(command: Callable[[], Any]) -> NoReturn:
    """Leave the process with the command's code, or with that of the error it ended in, told in plain words."""
    try:
        code = command() or DONE
    except BrokenPipeError:  # whoever read our output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
    except Exception as error:
        told = explain(error)
        if told is None:
            raise
        sys.stderr.write(f"{told[1]}\n")
        code = told[0]
    sys.exit(code)


def explain(error: BaseException) -> tuple[int, str] | None:
    """The exit code and the words for an error of a user or of the surroundings; None for our own bugs."""
    while isinstance(error, BaseExceptionGroup):  # a task group's; the first error is why the others ended
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    for kind, code in _EXITS.items():
        if isinstance(error, kind):
            return code, _words(error)
    return None


def _words(error: BaseException) -> str:
    if isinstance(error, MissingTopicError):
        return f"{error}; `leverage-gateway topics create` makes it"
    if isinstance(error, KafkaError):
        return f"Kafka: {error or type(error).__name__}"
    return str(error)
