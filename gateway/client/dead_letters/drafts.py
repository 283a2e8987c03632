"""The file in which undecodable bytes go out and a corrected command comes in; pure.

It pins the letter and the hash of its bytes. Its venue and account are locked where the letter's key, or what can be
read of its bytes, names them: mending must not turn one desk's command into another's.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any, Literal, cast

import msgspec
from msgspec import Struct

from gateway.client.dead_letters.letters import LetterRecord
from schemas import DecodeError, SetLeverage, Timestamp, decode_command
from schemas.codec import MSGPACK
from schemas.targets import VENUES, venue_of

HOW = (
    "Write the corrected command into `command`, then: leverage-gateway dead-letters mend FILE --note TEXT. "
    "`command_id`, `redrive_of` and `issued_at` are made new; `value` is what was found, and is not read again."
)
LONGEST_ID = 64  # characters
_ACCOUNT = re.compile(r"[A-Za-z0-9._-]{1,64}")


class DraftError(Exception):
    """Raised where a file is no draft, or its command is not right; its text says what would be."""


class NotMendableError(Exception):
    """Raised where a letter cannot be mended: it is a command, done, gone, or another one than the draft's."""


class Draft(Struct, frozen=True, kw_only=True, tag_field="type", tag="DeadLetterDraft"):
    """What `export` writes and `mend` reads."""

    how: str = HOW
    version: Literal[1] = 1
    letter: str
    topic: str
    sha256: str
    why: str
    venue: str | None
    account: str | None
    command: Any
    encoding: Literal["text", "base64"]
    value: str


_decoder = msgspec.json.Decoder(Draft)


def make_draft(found: LetterRecord, topic: str) -> Draft:
    """Put an undecodable letter into a draft; NotMendableError where it is a command."""
    why = found.letter.undecodable_because
    if why is None:
        raise NotMendableError(f"letter {found.letter.place} is a command: redrive it")
    said = _said(found)
    venue, account = _locked(found.key, said)
    template = {"type": "SetLeverage", "account": account, "leverage": "", "target": {"venue": venue}}
    encoding: Literal["text", "base64"] = "text"
    try:
        value = found.value.decode()
    except UnicodeDecodeError:
        encoding, value = "base64", base64.b64encode(found.value).decode()
    return Draft(
        letter=found.letter.place,
        topic=topic,
        sha256=found.sha256,
        why=why,
        venue=venue,
        account=account,
        command=said or template,
        encoding=encoding,
        value=value,
    )


def write_draft(draft: Draft) -> bytes:
    """Write a draft as its file has it."""
    return msgspec.json.format(msgspec.json.encode(draft), indent=1) + b"\n"


def read_draft(content: bytes) -> Draft:
    """Read a draft's file; DraftError says what is wrong."""
    try:
        return _decoder.decode(content)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DraftError(f"this is no draft that `dead-letters export P:O --out FILE` wrote: {error}") from None


def mended_command(draft: Draft, found: LetterRecord, *, command_id: str, now: Timestamp) -> SetLeverage:
    """The corrected command, with a new id.

    Raises:
        DraftError: it is no command, or one of another venue or account than the letter.
        NotMendableError: the letter is not the one that was exported.
    """
    if found.letter.undecodable_because is None:
        raise NotMendableError(f"letter {draft.letter} is a command: redrive it")
    if found.sha256 != draft.sha256:
        raise NotMendableError(f"letter {draft.letter} has other bytes than were exported: export it again")
    said = _said(found)
    old_id = said.get("command_id") if said else None
    if not isinstance(draft.command, dict):
        raise DraftError("`command` expects the corrected command, a JSON object")
    fields = cast("dict[str, Any]", draft.command) | {
        "command_id": command_id,
        "issued_at": str(now),
        "redrive_of": old_id if isinstance(old_id, str) and 0 < len(old_id) <= LONGEST_ID else None,
    }
    try:
        command = decode_command(msgspec.json.encode(fields))
    except DecodeError as error:
        raise DraftError(f"`command` is no command yet: {error}") from None
    _check_lock(_locked(found.key, said), command)
    return command


def _check_lock(locked: tuple[str | None, str | None], command: SetLeverage) -> None:
    for name, lock, value in zip(
        ("venue", "account"), locked, (venue_of(command.target), command.account), strict=True
    ):
        if lock is not None and lock != value:
            raise DraftError(f"the letter's {name} is {lock}, and mending does not change it: `command` has {value}")


def _said(found: LetterRecord) -> dict[str, Any] | None:
    """The letter's bytes as an object of any fields; None where they are not even that."""
    decode = msgspec.msgpack.decode if found.content_type == MSGPACK else msgspec.json.decode
    try:
        said = decode(found.value)
        msgspec.json.encode(said)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError, TypeError):
        return None
    return cast("dict[str, Any]", said) if isinstance(said, dict) else None


def _locked(key: bytes | None, said: Mapping[str, Any] | None) -> tuple[str | None, str | None]:
    """Venue and account as the record's key names them, else as its bytes do."""
    venue, _, account = (key or b"").decode("utf-8", "replace").partition(":")
    if venue in VENUES and _ACCOUNT.fullmatch(account):
        return venue, account
    target = said.get("target") if said else None
    found = cast("dict[str, Any]", target).get("venue") if isinstance(target, dict) else None
    name = said.get("account") if said else None
    is_name = isinstance(name, str) and _ACCOUNT.fullmatch(name) is not None
    return (found if found in VENUES else None), (name if is_name else None)
