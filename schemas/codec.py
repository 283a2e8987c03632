"""Bytes to messages and back, in JSON or MessagePack with the same field names.

The record header `content-type` says which; an answer comes in the encoding of its command.
"""

from datetime import datetime
from typing import Any, Literal

import msgspec

from schemas.command import SetLeverage
from schemas.events import Event
from schemas.timestamps import Timestamp

ContentType = Literal["application/json", "application/msgpack"]
JSON: ContentType = "application/json"
MSGPACK: ContentType = "application/msgpack"


class DecodeError(ValueError):
    """Raised where bytes are not the message they should be; its text says where and what would be right."""


def read_timestamp(kind: type, value: Any) -> Any:
    """Make a `Timestamp` of text, or of MessagePack's own timestamp (a msgspec decoding hook)."""
    if kind is not Timestamp:
        raise NotImplementedError(f"no such field type: {kind}")
    if isinstance(value, str):
        return Timestamp.parse(value)
    if isinstance(value, datetime):
        return Timestamp.of(value)
    raise ValueError("a time is a text like 2026-11-21T08:00:00.000Z")


def write_timestamp(value: Any) -> str:
    """Write a `Timestamp` as text (a msgspec encoding hook)."""
    if not isinstance(value, Timestamp):
        raise NotImplementedError(f"no way to write {type(value)}")
    return str(value)


_command_decoders = {
    JSON: msgspec.json.Decoder(SetLeverage, dec_hook=read_timestamp),
    MSGPACK: msgspec.msgpack.Decoder(SetLeverage, dec_hook=read_timestamp),
}
_event_decoders = {
    JSON: msgspec.json.Decoder(Event, dec_hook=read_timestamp),
    MSGPACK: msgspec.msgpack.Decoder(Event, dec_hook=read_timestamp),
}
_encoders = {
    JSON: msgspec.json.Encoder(enc_hook=write_timestamp),
    MSGPACK: msgspec.msgpack.Encoder(enc_hook=write_timestamp),
}


def decode_command(value: bytes, content_type: ContentType = JSON) -> SetLeverage:
    """Read one command; DecodeError says what is wrong and where."""
    return _decode(_command_decoders[content_type], value)


def decode_event(value: bytes, content_type: ContentType = JSON) -> Event:
    """Read one event; DecodeError says what is wrong and where."""
    return _decode(_event_decoders[content_type], value)


def encode(message: SetLeverage | Event, content_type: ContentType = JSON) -> bytes:
    """Write one message; the same message always gives the same bytes."""
    return _encoders[content_type].encode(message)


def _decode(decoder: Any, value: bytes) -> Any:
    try:
        return decoder.decode(value)
    except RecursionError as error:
        raise DecodeError("nested too deeply to be a message") from error
    except (msgspec.MsgspecError, ValueError, OverflowError, ArithmeticError) as error:
        raise DecodeError(str(error)) from error
