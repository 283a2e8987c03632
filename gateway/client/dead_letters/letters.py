"""One dead letter as people and programs see it, and the filters that choose letters. Pure."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from gateway.client.lanes import LaneKey
from schemas import DecodeError, SetLeverage, Timestamp, decode_command
from schemas.codec import JSON, ContentType
from schemas.dead_letter import FOREIGN_PREFIXES, LetterErrors, read_integer
from schemas.disposition import DispositionState
from schemas.headers import COMMAND_OFFSET, COMMAND_PARTITION, ERROR_PREFIX, REDRIVE_BATCH, REDRIVE_COUNT, header
from schemas.headers import content_type as content_type_of
from schemas.targets import venue_of

_ERRORS = (ERROR_PREFIX, *FOREIGN_PREFIXES)
_OURS = (COMMAND_PARTITION, COMMAND_OFFSET, REDRIVE_BATCH, REDRIVE_COUNT)
_LONGEST_NAME = 64  # characters of a batch's name


class Letter(Struct, frozen=True, kw_only=True):
    """What is held of a record of the dead-letter topic: no bytes of anybody's, so that each is small."""

    partition: int
    offset: int
    timestamp_ms: int
    command: SetLeverage | None
    undecodable_because: str | None
    errors: LetterErrors
    command_offset: int | None
    redrives: int
    batch: str | None

    @classmethod
    def read(cls, record: Any, *, commands_topic: str) -> "Letter":
        """Read aiokafka's record; whatever it holds, it becomes a letter."""
        said = [(name, value) for name, value in record.headers if value is not None]
        command, why = _command(record.value or b"", said)
        errors = LetterErrors.read(said, timestamp_ms=record.timestamp)
        ours = [(name, value) for name, value in said if name in _OURS]
        batch = header(ours, REDRIVE_BATCH)
        return cls(
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp,
            command=command,
            undecodable_because=why,
            errors=errors,
            command_offset=_command_offset(record.partition, ours, errors, commands_topic),
            redrives=read_integer(header(ours, REDRIVE_COUNT)) or 0,
            batch=None if batch is None else batch[:_LONGEST_NAME],
        )

    @property
    def place(self) -> str:
        """`<partition>:<offset>`, as commands name it."""
        return f"{self.partition}:{self.offset}"

    @property
    def lane_key(self) -> LaneKey | None:
        """Venue, account and lane; None where it is no command."""
        command = self.command
        return None if command is None else LaneKey(venue_of(command.target), command.account, command.target.lane)

    @property
    def command_time_ms(self) -> int:
        """When its command was written, or the letter itself where that is not said or cannot be."""
        said = self.errors.timestamp
        return self.timestamp_ms if said is None else min(self.timestamp_ms, int(said.timestamp() * 1000))


class LetterRecord(NamedTuple):
    """A letter with the record it is: what must be kept when it is sent again, and its bytes."""

    letter: Letter
    record: Any

    @property
    def value(self) -> bytes:
        """Its command's bytes, or the beginning of them."""
        return self.record.value or b""

    @property
    def key(self) -> bytes | None:
        """Its command's key."""
        return self.record.key

    @property
    def sha256(self) -> str:
        """The hash of its bytes."""
        return hashlib.sha256(self.value).hexdigest()

    @property
    def content_type(self) -> ContentType:
        """How its bytes are encoded; JSON where that is not to be known."""
        try:
            return content_type_of(self.record.headers)
        except DecodeError:
            return JSON

    def headers_to_send(self) -> list[tuple[str, bytes]]:
        """Its headers without what the gateway, this tool and other tools for dead letters wrote on it."""
        return [
            (name, value)
            for name, value in self.record.headers
            if value is not None and name not in _OURS and not name.startswith(_ERRORS)
        ]


class Filters(Struct, frozen=True, kw_only=True):
    """Which letters are meant: fields are joined by AND, values of one field by OR; empty fields let all through."""

    venue: Sequence[str] = ()
    account: Sequence[str] = ()
    lane: Sequence[str] = ()
    reason: Sequence[str] = ()
    issuer: Sequence[str] = ()
    code: Sequence[str] = ()
    command_id: Sequence[str] = ()
    batch: Sequence[str] = ()
    partition: Sequence[int] = ()
    since: datetime | None = None
    until: datetime | None = None
    state: Literal["open", "redriven", "archived", "all"] = "open"


class LetterRow(Struct, frozen=True, kw_only=True, tag_field="type", tag="DeadLetter"):
    """One letter in a list, as `--json` has it; None where a letter lacks the field."""

    letter: str
    state: DispositionState
    venue: str | None
    account: str | None
    lane: str | None
    issuer: str | None
    command_id: str | None
    reason: str | None
    code: str | None
    failed_at: Timestamp | None

    @classmethod
    def of(cls, letter: Letter, *, state: DispositionState, code: str | None) -> "LetterRow":
        """Put one letter and what is known of it into a row."""
        venue, account, lane = letter.lane_key or (None, None, None)
        command = letter.command
        return cls(
            letter=letter.place,
            state=state,
            venue=venue,
            account=account,
            lane=lane,
            issuer=command.issuer if command else None,
            command_id=command.command_id if command else None,
            reason=letter.errors.reason,
            code=code,
            failed_at=letter.errors.failed_at,
        )


def matches(letter: Letter, row: LetterRow, filters: Filters) -> bool:
    """Whether a letter is one of those that are meant, as far as it tells itself; its venue's code is in its event."""
    if filters.state not in ("all", row.state):
        return False
    if filters.partition and letter.partition not in filters.partition:
        return False
    if filters.batch and letter.batch not in filters.batch:
        return False
    for field in ("venue", "account", "lane", "reason", "issuer", "command_id"):
        wanted: Sequence[str] = getattr(filters, field)
        if wanted and getattr(row, field) not in wanted:
            return False
    return _is_of_time(row.failed_at, filters)


def _is_of_time(at: Timestamp | None, filters: Filters) -> bool:
    if filters.since is not None and (at is None or at < filters.since):
        return False
    return filters.until is None or (at is not None and at < filters.until)


def _command(value: bytes, headers: Sequence[tuple[str, bytes]]) -> tuple[SetLeverage | None, str | None]:
    try:
        return decode_command(value, content_type_of(headers)), None
    except DecodeError as error:
        return None, str(error)


def _command_offset(
    partition: int, headers: Sequence[tuple[str, bytes]], errors: LetterErrors, commands_topic: str
) -> int | None:
    """Where its command is on the partition of commands that has the letter's number; None where it never was."""
    said = read_integer(header(headers, COMMAND_OFFSET))
    if said is not None:
        return said if read_integer(header(headers, COMMAND_PARTITION)) in (None, partition) else None
    is_here = errors.topic == commands_topic and errors.partition == partition
    return errors.offset if is_here else None
