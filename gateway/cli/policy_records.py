"""What `freeze`, `thaw` and `policy` share: a record is made for what holds now, signed, tried, and then written."""

import asyncio
import getpass
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from aiokafka.errors import KafkaError
from cyclopts import Parameter

from gateway.cli.exits import UsageError
from gateway.client import CommandIds
from gateway.kafka.bootstrap import reachable
from gateway.kafka.connection import client_options, unreachable
from gateway.kafka.policy_topic import PolicyTopic, read_policy, write_policy
from gateway.policy.board import Board, PolicyRefusedError
from gateway.policy.signatures import OperatorKeys, operator_of, sign
from gateway.settings.file import base_dir_of
from gateway.settings.operators import operator_keys, read_private_key
from gateway.settings.tree import Settings
from schemas import DecodeError, Timestamp
from schemas.policy import PolicyRecord, decode_policy_record, encode_policy_record

OperatorOption = Annotated[str | None, Parameter(help="Who does it; without it, this user of the machine.")]
SignOption = Annotated[
    tuple[Path, ...],
    Parameter(name="--sign", help="An operator's private key file (PEM, Ed25519), where the settings name operators."),
]
DraftOption = Annotated[
    Path | None,
    Parameter(help="Where to put the signed record, in place of the topic, for another operator to countersign."),
]


class Signing(NamedTuple):
    """How a record is signed, and where it goes."""

    keys: tuple[Path, ...]
    draft: Path | None


class Made(NamedTuple):
    """A record, what it replaced, and where it is: an offset of the topic, or none where it went to a file."""

    record: PolicyRecord
    before: PolicyRecord | None
    offset: int | None


@asynccontextmanager
async def kafka_of(settings: Settings, config: Path | None) -> AsyncGenerator[dict[str, Any]]:
    """How to connect; what goes wrong with Kafka inside is UnreachableError."""
    options = await reachable(settings.kafka, client_options(settings.kafka, base_dir_of(config)))
    try:
        yield options
    except BrokenPipeError:
        raise
    except (KafkaError, OSError) as error:  # TimeoutError is an OSError
        raise unreachable(settings.kafka, error) from error


async def read_topic(settings: Settings, config: Path | None) -> PolicyTopic:
    """All that the policy topic holds."""
    operators = operator_keys(settings.policy, base_dir_of(config))
    async with kafka_of(settings, config) as options:
        return await read_policy(settings.kafka.topics.policy, options, operators)


async def publish(
    settings: Settings, config: Path | None, make: Callable[[Board], PolicyRecord], signing: Signing
) -> Made:
    """Make a record for what holds now, sign it, and write it.

    Raises:
        PolicyRefusedError: every replica would refuse it.
    """
    operators = operator_keys(settings.policy, base_dir_of(config))
    topic = settings.kafka.topics.policy
    async with kafka_of(settings, config) as options:
        board = (await read_policy(topic, options, operators)).board
        record = _signed(make(board), signing.keys, operators)
        before = board.current(record.key)
        if signing.draft is not None:
            await asyncio.to_thread(
                signing.draft.write_bytes, msgspec.json.format(encode_policy_record(record), indent=2)
            )
            return Made(record, before, None)
        objection = board.objection(record, time.time())
        if objection is not None:
            raise PolicyRefusedError(f"not written: {objection}{_remedy(operators)}")
        return Made(record, before, await write_policy(topic, options, record))


def common(board: Board, key: str, operator: str | None) -> Mapping[str, Any]:
    """The fields of every record."""
    current = board.current(key)
    return {
        "id": CommandIds()(),
        "replaces": None if current is None else current.id,
        "at": Timestamp.from_epoch(time.time()),
        "operator": operator or getpass.getuser(),
    }


def read_draft(path: Path) -> PolicyRecord:
    """A record that another operator signed; UsageError where the file holds none."""
    try:
        return decode_policy_record(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except DecodeError as error:
        raise UsageError(f"{path}: no record that --draft wrote: {error}") from None


def said(text: str, option: str) -> str:
    """A text for whoever looks later; UsageError where it says nothing."""
    if not text.strip():
        raise UsageError(f"{option} must say why this is done, for whoever looks later")
    return text


def _signed(record: PolicyRecord, keys: tuple[Path, ...], operators: OperatorKeys) -> PolicyRecord:
    for path in keys:
        key = read_private_key(path)
        operator = operator_of(key, operators)
        if operator is None:
            raise UsageError(f"--sign {path}: the settings name no operator with this key (policy.operators)")
        record = sign(record, operator, key)
    return record


def _remedy(operators: OperatorKeys) -> str:
    if not operators:
        return ""
    return f"; sign with --sign KEYFILE, once for each operator ({', '.join(sorted(operators))})"
