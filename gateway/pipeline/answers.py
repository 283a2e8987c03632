"""What is said of a command: its event, its state record, its dead letter, as records to write in one transaction.

Pure. `intake` and `verdicts` make answers, `settle` writes them.
"""

import hashlib
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from gateway.outcomes import Ambiguous, Applied, ClockSkewed, KeyRejection, Refusal, Rejection, Throttled, Unavailable
from gateway.ownership.ports import OutRecord
from gateway.pipeline.command import Command, CommandRecord
from schemas import Event, LeverageChanged, LeverageRejected, Reason, Timestamp, encode
from schemas.dead_letter import DEAD_LETTERED, LetterErrors
from schemas.events import fields_of_answer
from schemas.headers import COMMAND_OFFSET, COMMAND_PARTITION, CONTENT_TYPE, CUT_FIELDS, ERROR_PREFIX, GROUP

NotApplied = Rejection | Throttled | Unavailable | Ambiguous | KeyRejection | ClockSkewed
LONGEST_NUMBER = 64  # characters; a number of a thousand digits is nobody's leverage
LONGEST_MESSAGE = 300  # characters
LARGEST_LETTER = 1_900_000  # bytes of the record, below what the dead-letter topic takes as `topics create` makes it
CUT_BYTES = 1024  # kept of a key or value that does not fit


class DeadLetter(Struct, frozen=True, kw_only=True):
    """Why a record goes to the dead-letter topic, for its headers."""

    stage: str
    reason: str
    message: str
    attempts: int
    failed_at: float


class Answer(Struct, frozen=True, kw_only=True):
    """The one answer to one record: an event, a dead letter, or both."""

    record: CommandRecord
    command: Command | None = None
    event: Event | None = None
    dead_letter: DeadLetter | None = None


def event_id(topic: str, record: CommandRecord) -> str:
    """The same for the same command record, however often its answer is written."""
    return f"{topic}/{record.partition}/{record.offset}"


def changed(command: Command, applied: Applied, *, topic: str, now: float, attempts: int) -> Answer:
    """The venue has it."""
    event = LeverageChanged(
        **_common(command, topic, now, attempts),
        leverage=command.leverage if applied.leverage is None else applied.leverage,
        requested_leverage=command.leverage,
        certainty=applied.certainty,
        max_notional=applied.max_notional,
    )
    return Answer(record=command.record, command=command, event=event)


def of_refusal(command: Command, refusal: Refusal, *, topic: str, now: float, attempts: int = 0) -> Answer:
    """The gateway says no, without or after calls."""
    return _rejected(command, refusal, None, topic=topic, now=now, attempts=attempts)


def of_outcome(
    command: Command,
    outcome: NotApplied,
    *,
    topic: str,
    now: float,
    attempts: int = 1,
    is_doubtful: bool = False,
    free_at: float | None = None,
) -> Answer:
    """The venue's last word, or the lack of one.

    `is_doubtful`: an earlier call may have been applied; `free_at`: when limits and breaker let the next call go.
    """
    reason: Reason = "outcome_unknown" if is_doubtful else reason_of(outcome)
    retry_at = _retry_at(outcome, now)
    if retry_at is None and isinstance(outcome, Throttled | Unavailable) and free_at is not None and free_at > now:
        retry_at = free_at
    refusal = Refusal(reason=reason, message=message_of(outcome), retry_at=retry_at)
    return _rejected(command, refusal, outcome, topic=topic, now=now, attempts=attempts)


def undecodable(record: CommandRecord, message: str, *, now: float) -> Answer:
    """Nobody can be answered: the bytes go where people look."""
    letter = DeadLetter(stage="intake", reason="undecodable", message=_short(message), attempts=0, failed_at=now)
    return Answer(record=record, dead_letter=letter)


def reason_of(outcome: NotApplied) -> Reason:
    """The contract's word for an outcome that ended a command's attempts."""
    match outcome:
        case Rejection():
            return "venue_rejected"
        case Throttled():
            return "rate_limited"
        case KeyRejection():
            return "unauthorised"
        case Unavailable() | ClockSkewed():
            return "venue_unavailable"
        case Ambiguous():
            return "outcome_unknown"


def message_of(outcome: NotApplied) -> str:
    """The venue's text, or ours where it said nothing."""
    return outcome.message or f"the venue answered {outcome.http_status or 'nothing'}"


def out_records(answer: Answer, *, topic: str, group: str, is_cut: bool = False) -> list[OutRecord]:
    """The records that say this answer, all to be written in one transaction.

    `is_cut`: the dead letter's topic does not take the whole record, so the letter holds its beginning only.
    """
    record = answer.record
    place = [(COMMAND_PARTITION, b"%d" % record.partition), (COMMAND_OFFSET, b"%d" % record.offset)]
    records: list[OutRecord] = []
    if answer.event is not None and answer.command is not None:
        command = answer.command
        about = (CONTENT_TYPE, command.content_type.encode()), (GROUP, group.encode())
        headers = [*about, *place, *command.trace_headers]
        value = encode(answer.event, command.content_type)
        records.append(OutRecord("events", answer.event.key.encode(), value, headers))
        if isinstance(answer.event, LeverageChanged):
            records.append(OutRecord("state", answer.event.state_key.encode(), value, headers))
    if answer.dead_letter is not None:
        errors = [*place, *_error_headers(record, answer.dead_letter, topic, group)]
        if is_cut or _size(record) > LARGEST_LETTER:
            records.append(_cut_letter(record, errors))
        else:
            records.append(OutRecord("dead_letters", record.key, record.value, [*_original_headers(record), *errors]))
    return records


def without_dead_letter(answer: Answer) -> Answer:
    """The same answer where the brake on dead letters holds."""
    event = answer.event
    if isinstance(event, LeverageRejected):
        event = msgspec.structs.replace(event, dead_lettered=False)
    return msgspec.structs.replace(answer, event=event, dead_letter=None)


def _rejected(
    command: Command, refusal: Refusal, outcome: NotApplied | None, *, topic: str, now: float, attempts: int
) -> Answer:
    dead_letter = refusal.reason in DEAD_LETTERED
    event = LeverageRejected(
        **_common(command, topic, now, attempts),
        leverage=_sayable(command.leverage),
        reason=refusal.reason,
        message=_short(refusal.message),
        venue_code=outcome.code if outcome else None,
        http_status=outcome.http_status if outcome else None,
        dead_lettered=dead_letter,
        superseded_by=refusal.superseded_by,
        retry_at=None if refusal.retry_at is None else _instant(refusal.retry_at),
        policy_version=refusal.policy_version or UNSET,
        policy_rules=refusal.policy_rules or UNSET,
    )
    letter = DeadLetter(
        stage="intake" if attempts == 0 and refusal.reason == "unknown_account" else "execute",
        reason=refusal.reason,
        message=_short(refusal.message),
        attempts=attempts,
        failed_at=now,
    )
    return Answer(record=command.record, command=command, event=event, dead_letter=letter if dead_letter else None)


def _common(command: Command, topic: str, now: float, attempts: int) -> dict[str, Any]:
    occurred_at = Timestamp.from_epoch(now)
    name = event_id(topic, command.record)
    return fields_of_answer(command.command, event_id=name, attempts=attempts, occurred_at=occurred_at)


def _short(message: str) -> str:
    return message if len(message) <= LONGEST_MESSAGE else f"{message[: LONGEST_MESSAGE - 1]}…"


def _sayable(leverage: Decimal) -> Decimal:
    """What was asked, if it can be said shortly."""
    return leverage if len(str(leverage)) <= LONGEST_NUMBER else Decimal("NaN")


def _instant(seconds: float) -> Timestamp | None:
    """A time that somebody else told; None where it is no time of this calendar."""
    try:
        return Timestamp.from_epoch(seconds) if seconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def _retry_at(outcome: NotApplied, now: float) -> float | None:
    match outcome:
        case Throttled(until=float() as until):
            return until
        case Throttled(retry_after=float() as wait) | Unavailable(retry_after=float() as wait):
            return now + wait
        case _:
            return None


def _size(record: CommandRecord) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers


def _cut_letter(record: CommandRecord, errors: list[tuple[str, bytes]]) -> OutRecord:
    """The letter of a record too large for its topic: a kilobyte of key and value, and the value's size and hash."""
    value = record.value or b""
    said = {"value_size": str(len(value)), "value_sha256": hashlib.sha256(value).hexdigest()}
    headers = [*errors, *((ERROR_PREFIX + name, said[name].encode()) for name in CUT_FIELDS)]
    key = None if record.key is None else record.key[:CUT_BYTES]
    return OutRecord("dead_letters", key, None if record.value is None else value[:CUT_BYTES], headers)


def _original_headers(record: CommandRecord) -> list[tuple[str, bytes | None]]:
    ours = (COMMAND_PARTITION, COMMAND_OFFSET)
    return [(name, value) for name, value in record.headers if name not in ours and not name.startswith(ERROR_PREFIX)]


def _error_headers(record: CommandRecord, letter: DeadLetter, topic: str, group: str) -> list[tuple[str, bytes]]:
    errors = LetterErrors(
        topic=topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=_instant(record.timestamp_ms / 1000),
        stage=letter.stage,
        reason=letter.reason,
        message=letter.message,
        attempts=letter.attempts,
        failed_at=Timestamp.from_epoch(letter.failed_at),
        group=group,
    )
    return errors.headers()
