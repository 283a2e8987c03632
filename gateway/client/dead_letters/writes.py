"""What is written for a letter: its new command, and the disposition that says so. Pure."""

from typing import Any
from uuid import UUID, uuid5

from msgspec import Struct
from msgspec.structs import replace

from gateway.client.dead_letters.letters import LetterRecord
from gateway.client.dead_letters.publishing import NewCommand, Write
from schemas import SetLeverage, Timestamp, encode
from schemas.codec import JSON
from schemas.disposition import DeadLetterDisposition
from schemas.headers import CONTENT_TYPE, REDRIVE_BATCH, REDRIVE_COUNT

_NAMESPACE = UUID("5f0c7f0e-0c55-5a0f-9d3e-7a3f8f6f2d11")


class Act(Struct, frozen=True, kw_only=True):
    """Who does something with letters of a topic, in which batch, why, and when."""

    topic: str
    batch: str
    operator: str
    note: str
    at: Timestamp


def new_command_id(topic: str, place: str, redrives: int) -> str:
    """The id of a letter's n-th redrive: the same redrive twice is a repeat to the gateway."""
    return str(uuid5(_NAMESPACE, f"{topic}/{place}/{redrives}"))


def redriven(found: LetterRecord, act: Act, *, expires_at: Timestamp | None, forced: str | None) -> Write:
    """A letter's command again, with a new id; `expires_at` takes the place of its own where it is given."""
    letter, command = found.letter, found.letter.command
    if command is None:
        raise RuntimeError(f"letter {letter.place} is no command, and was judged to be one")
    again = replace(
        command,
        command_id=new_command_id(act.topic, letter.place, letter.redrives + 1),
        redrive_of=command.command_id,
        issued_at=act.at,
        expires_at=expires_at or command.expires_at,
    )
    record = NewCommand(
        key=found.key or again.key.encode(),
        value=encode(again, found.content_type),
        headers=[*found.headers_to_send(), *_ours(found, act)],
        partition=letter.partition,
    )
    return record, _disposition(found, act, state="redriven", command_id=again.command_id, forced=forced)


def mended(found: LetterRecord, act: Act, command: SetLeverage) -> Write:
    """The corrected command of a letter that was none, as JSON, on the partition of its own key."""
    theirs = [(name, value) for name, value in found.headers_to_send() if name != CONTENT_TYPE]
    record = NewCommand(
        key=command.key.encode(),
        value=encode(command),
        headers=[(CONTENT_TYPE, JSON.encode()), *theirs, *_ours(found, act)],
        partition=None,
    )
    return record, _disposition(found, act, state="mended", command_id=command.command_id)


def _ours(found: LetterRecord, act: Act) -> list[tuple[str, bytes]]:
    return [(REDRIVE_BATCH, act.batch.encode()), (REDRIVE_COUNT, b"%d" % (found.letter.redrives + 1))]


def _disposition(found: LetterRecord, act: Act, **more: Any) -> DeadLetterDisposition:
    return DeadLetterDisposition(
        letter=found.letter.place,
        batch=act.batch,
        operator=act.operator,
        note=act.note,
        at=act.at,
        redrives=found.letter.redrives + 1,
        **more,
    )
