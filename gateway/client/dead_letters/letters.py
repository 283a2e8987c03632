"""One dead letter as people and programs see it, and the filters that choose letters. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from schemas import DecodeError, SetLeverage, Timestamp, decode_command
from schemas.codec import JSON, ContentType
from schemas.dead_letter import FOREIGN_PREFIXES, LetterErrors, read_integer
from schemas.headers import COMMAND_OFFSET, COMMAND_PARTITION, ERROR_PREFIX, REDRIVE_BATCH, REDRIVE_COUNT, header
from schemas.headers import content_type as content_type_of
from schemas.targets import venue_of

LetterState = Literal["open", "redriven", "archived", "mended"]
_ERRORS = (ERROR_PREFIX, *FOREIGN_PREFIXES)
_OURS = (COMMAND_PARTITION, COMMAND_OFFSET, REDRIVE_BATCH, REDRIVE_COUNT)


class Letter(Struct, frozen=True, kw_only=True):
    """A record of the dead-letter topic, without its bytes where they are no command."""

    partition: int
    offset: int
    key: bytes | None
    headers: Sequence[tuple[str, bytes]]
    content_type: ContentType
    command: SetLeverage | None
    undecodable_because: str | None
    errors: LetterErrors
    redrives: int

    @classmethod
    def read(cls, record: Any) -> "Letter":
        """Read aiokafka's record; whatever it holds, it becomes a letter."""
        headers = [(name, value) for name, value in record.headers if value is not None]
        command, why, encoding = _command(record.value or b"", headers)
        return cls(
            partition=record.partition,
            offset=record.offset,
            key=record.key,
            headers=headers,
            content_type=encoding,
            command=command,
            undecodable_because=why,
            errors=LetterErrors.read(headers, timestamp_ms=record.timestamp),
            redrives=read_integer(header(headers, REDRIVE_COUNT)) or 0,
        )

    @property
    def place(self) -> str:
        """`<partition>:<offset>`, as commands name it."""
        return f"{self.partition}:{self.offset}"

    @property
    def lane_key(self) -> tuple[str, str, str] | None:
        """Venue, account and lane; None where it is no command."""
        command = self.command
        return None if command is None else (venue_of(command.target), command.account, command.target.lane)

    @property
    def command_offset(self) -> int | None:
        """Where its command was on the partition of commands that has the letter's number."""
        said = read_integer(header(self.headers, COMMAND_OFFSET))
        return self.errors.offset if said is None else said

    def headers_to_send(self) -> list[tuple[str, bytes]]:
        """Its headers without what the gateway, this tool and other tools for dead letters wrote on it."""
        return [(name, value) for name, value in self.headers if name not in _OURS and not name.startswith(_ERRORS)]


class Filters(Struct, frozen=True, kw_only=True):
    """Which letters are meant: fields are joined by AND, values of one field by OR; empty fields let all through."""

    venue: Sequence[str] = ()
    account: Sequence[str] = ()
    lane: Sequence[str] = ()
    reason: Sequence[str] = ()
    issuer: Sequence[str] = ()
    code: Sequence[str] = ()
    command_id: Sequence[str] = ()
    partition: Sequence[int] = ()
    since: datetime | None = None
    until: datetime | None = None
    state: Literal["open", "redriven", "archived", "all"] = "open"


class LetterRow(Struct, frozen=True, kw_only=True, tag_field="type", tag="DeadLetter"):
    """One letter in a list, as `--json` has it; None where a letter lacks the field."""

    letter: str
    state: LetterState
    venue: str | None
    account: str | None
    lane: str | None
    issuer: str | None
    command_id: str | None
    reason: str | None
    code: str | None
    failed_at: Timestamp | None

    @classmethod
    def of(cls, letter: Letter, *, state: LetterState, code: str | None) -> "LetterRow":
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


def matches(row: LetterRow, filters: Filters) -> bool:
    """Whether a letter is one of those that are meant."""
    if filters.state not in ("all", row.state):
        return False
    if filters.partition and int(row.letter.partition(":")[0]) not in filters.partition:
        return False
    for field in ("venue", "account", "lane", "reason", "issuer", "code", "command_id"):
        wanted: Sequence[str] = getattr(filters, field)
        if wanted and getattr(row, field) not in wanted:
            return False
    at = row.failed_at
    if filters.since is not None and (at is None or at < filters.since):
        return False
    return filters.until is None or (at is not None and at < filters.until)


def _command(value: bytes, headers: Sequence[tuple[str, bytes]]) -> tuple[SetLeverage | None, str | None, ContentType]:
    try:
        encoding = content_type_of(headers)
        return decode_command(value, encoding), None, encoding
    except DecodeError as error:
        return None, str(error), JSON
