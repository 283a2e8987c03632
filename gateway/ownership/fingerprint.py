"""Which command an answer is of, beside its offset: a topic that was made anew gives its offsets a second time."""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from schemas import DecodeError
from schemas.codec import JSON, MSGPACK
from schemas.headers import CUT_FIELDS, ERROR_PREFIX, content_type

ANY = 0  # of a command that is not known by more than its offset
_CUT = frozenset(ERROR_PREFIX + name for name in CUT_FIELDS)


class Identity(Struct, frozen=True):
    """As much of a command or its event as it is known by."""

    command_id: str


_decoders = {JSON: msgspec.json.Decoder(Identity), MSGPACK: msgspec.msgpack.Decoder(Identity)}


def command_id(value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> str | None:
    """The id in a command or its event; None where none can be read."""
    try:
        return _decoders[content_type(headers)].decode(value or b"").command_id
    except (DecodeError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def fingerprint(value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> int:
    """The same in one process for a command, its event and its dead letter; `ANY` where a letter is cut short."""
    headers = tuple(headers)
    if any(name in _CUT for name, _ in headers):
        return ANY
    named = command_id(value, headers)
    return hash((value if named is None else named,))
