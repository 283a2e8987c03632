"""Which command an answer is of, beside its offset: a topic that was made anew gives its offsets a second time."""

import hashlib
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from schemas import DecodeError
from schemas.codec import JSON, MSGPACK
from schemas.headers import ERROR_PREFIX, content_type, header

_WHOLE = f"{ERROR_PREFIX}value_sha256"  # in a letter that is cut short: of what was there


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
    """What an event or a dead letter says of its command; the same in one process for both."""
    headers = tuple(headers)
    whole = header(headers, _WHOLE)
    return _named(value, headers) if whole is None else hash(whole)


def is_of(answer: int, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> bool:
    """Whether the answer of this fingerprint is of this command."""
    return answer == _named(value, headers) or answer == hash(hashlib.sha256(value or b"").hexdigest())


def _named(value: bytes | None, headers: Iterable[tuple[str, bytes | None]]) -> int:
    named = command_id(value, headers)
    return hash((value if named is None else named,))
