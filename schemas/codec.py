"""Bytes to messages and back, in JSON or MessagePack with the same field names.

The record header `content-type` says which; an answer comes in the encoding of its command.
"""

import re
from datetime import datetime
from typing import Any, Literal

import msgspec

from schemas.command import DECIMAL_PATTERN, SetLeverage
from schemas.events import Event
from schemas.timestamps import Timestamp

ContentType = Literal["application/json", "application/msgpack"]
JSON: ContentType = "application/json"
MSGPACK: ContentType = "application/msgpack"
LONGEST_ERROR = 300  # characters; the library repeats the wrong value in its own


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


class _LeverageText(msgspec.Struct):
    """A command's leverage as it is written."""

    leverage: msgspec.Raw


_DECIMAL = re.compile(DECIMAL_PATTERN + r"|^[+-]?(s?nan|inf|infinity)$", re.IGNORECASE)  # the words are refused later
_leverage_decoders = {
    JSON: msgspec.json.Decoder(_LeverageText),
    MSGPACK: msgspec.msgpack.Decoder(_LeverageText),
}
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
    command: SetLeverage = _decode(_command_decoders[content_type], value)
    is_plain = content_type == JSON and b'"leverage":"%s"' % str(command.leverage).encode() in value
    if not is_plain:  # most are, and to decode once more costs as much as the first time
        _check_text_of_leverage(value, content_type)
    return command


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
        raise DecodeError(_short(str(error))) from error


def _check_text_of_leverage(value: bytes, content_type: ContentType) -> None:
    """Refuse what Python's Decimal reads and the JSON Schema does not: `1_25`, ` 20`, digits of other scripts."""
    raw: msgspec.Raw = _decode(_leverage_decoders[content_type], value).leverage
    if content_type == JSON and not bytes(raw).startswith(b'"'):
        return  # a number is what JSON's grammar says
    leverage: Any = msgspec.json.decode(raw) if content_type == JSON else msgspec.msgpack.decode(raw)
    if isinstance(leverage, str) and not _DECIMAL.fullmatch(leverage):
        raise DecodeError('Expected a decimal number such as "20" - at `$.leverage`')


def _short(text: str) -> str:
    """An error's text without most of the value that it repeats; its end says where."""
    return text if len(text) <= LONGEST_ERROR else f"{text[: LONGEST_ERROR - 100]}…{text[-99:]}"
