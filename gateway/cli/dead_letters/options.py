"""What the commands on dead letters are told: which letters, why, by whom; and the desk that the settings lead to."""

import asyncio
import getpass
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from aiokafka.errors import KafkaError, ProducerFenced
from cyclopts import Parameter, validators

from gateway.cli.exits import UsageError
from gateway.client.dead_letters import DeadLetters, Filters, open_dead_letters, parse_place
from gateway.kafka.bootstrap import reachable
from gateway.kafka.connection import client_options, unreachable
from gateway.settings.file import base_dir_of
from gateway.settings.tree import Settings

Positive = validators.Number(gt=0)
Texts = tuple[str, ...]
LetterArguments = Annotated[str, Parameter(help="Letters by partition:offset, in place of filters.")]
NoteOption = Annotated[str, Parameter(help="Why, for whoever looks later.")]
OperatorOption = Annotated[str | None, Parameter(help="Who does it; without it, this user of the machine.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)  # the parser takes no Structs
class FilterOptions:
    """Which letters; each option may be given several times."""

    venue: Annotated[Texts, Parameter(help="Of these venues.")] = ()
    account: Annotated[Texts, Parameter(help="Of these accounts.")] = ()
    lane: Annotated[Texts, Parameter(help="Of these lanes.")] = ()
    reason: Annotated[Texts, Parameter(help="For these reasons.")] = ()
    issuer: Annotated[Texts, Parameter(help="Asked by these.")] = ()
    code: Annotated[Texts, Parameter(help="With these codes of the venue.")] = ()
    command_id: Annotated[Texts, Parameter(help="Of these commands.")] = ()
    batch: Annotated[Texts, Parameter(help="That came back from these redrives.")] = ()
    partition: Annotated[tuple[int, ...], Parameter(help="On these partitions.")] = ()
    since: Annotated[str | None, Parameter(help="Failed at or after this time (RFC 3339).")] = None
    until: Annotated[str | None, Parameter(help="Failed before this time (RFC 3339).")] = None
    state: Annotated[
        Literal["open", "redriven", "archived", "all"] | None, Parameter(help="What was done with them: open.")
    ] = None


NO_FILTERS = FilterOptions()


def make_filters(options: FilterOptions, *, state: Literal["open", "archived"] = "open") -> Filters:
    """The filters of the library; UsageError where a time is none."""
    return Filters(
        venue=options.venue,
        account=options.account,
        lane=options.lane,
        reason=options.reason,
        issuer=options.issuer,
        code=options.code,
        command_id=options.command_id,
        batch=options.batch,
        partition=options.partition,
        since=_time("--since", options.since),
        until=_time("--until", options.until),
        state=options.state or state,
    )


def check_places(letters: Iterable[str]) -> None:
    """UsageError where one is no partition:offset."""
    try:
        for place in letters:
            parse_place(place)
    except ValueError as error:
        raise UsageError(str(error)) from None


def needed_note(note: str | None) -> str:
    """The note; UsageError where there is none."""
    if not note or not note.strip():
        raise UsageError("--note TEXT is needed: why this is done, for whoever looks later")
    return note


def operator_name(operator: str | None) -> str:
    """Who does it; UsageError where nobody is named and this machine does not know its user."""
    try:
        return operator or getpass.getuser()
    except (KeyError, OSError):
        raise UsageError("--operator NAME is needed: this machine does not say who its user is") from None


def read_content(option: str, path: Path) -> bytes:
    """A file's bytes; UsageError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror}") from None


@asynccontextmanager
async def open_desk(settings: Settings, config: Path | None) -> AsyncGenerator[DeadLetters]:
    """The desk of these settings; what goes wrong with Kafka inside is UnreachableError."""
    kafka = settings.kafka
    asyncio.get_running_loop().set_exception_handler(_leave_out_fenced)
    options = await reachable(kafka, client_options(kafka, base_dir_of(config)))
    try:
        async with open_dead_letters(options, kafka.topics, group=kafka.group_id) as desk:
            yield desk
    except BrokenPipeError:
        raise
    except (KafkaError, OSError) as error:
        raise unreachable(kafka, error) from error


def _leave_out_fenced(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A batch of aiokafka's that nobody waits for any more says so when its producer is fenced, which we say better."""
    if not isinstance(context.get("exception"), ProducerFenced):
        loop.default_exception_handler(context)


def _time(option: str, text: str | None) -> datetime | None:
    try:
        at = None if text is None else datetime.fromisoformat(text.upper())
    except ValueError:
        at = datetime.min  # noqa: DTZ901 - without an offset, as is refused below
    if at is not None and at.tzinfo is None:
        raise UsageError(f"{option} expects a time with its offset, as in 2026-11-21T08:00:00Z")
    return at
