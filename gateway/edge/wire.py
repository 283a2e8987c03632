"""Frames as bytes on a connection, made once for all who get the same: WebSocket in JSON or MessagePack, or SSE.

Frames of a server are not masked (RFC 6455 5.1), so the same bytes go to everybody.
"""

import struct
from typing import Protocol

import msgspec
from msgspec import Raw

from gateway.edge.frames import ServerFrame

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
LONGEST_REASON = 123  # bytes of a close frame's reason (RFC 6455 5.5)
_SHORT, _MEDIUM = 126, 1 << 16
_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()


class Wire(Protocol):
    """How frames are written on one kind of connection.

    Attributes:
        name: which one it is.
        ping: asks the reader whether it is there; empty where none can be asked.
    """

    name: str
    ping: bytes

    def event(self, value: bytes) -> Raw:
        """Prepare an event's JSON to be a part of a frame."""
        ...

    def frame(self, frame: ServerFrame) -> bytes:
        """Write a frame."""
        ...


class JsonWire:
    """JSON on a WebSocket."""

    name = "leverage.v1.json"
    ping = bytes((0x80 | PING, 0))

    def event(self, value: bytes) -> Raw:
        """Take it as it is."""
        return Raw(value)

    def frame(self, frame: ServerFrame) -> bytes:
        """Write a text message."""
        return message(TEXT, _json.encode(frame))


class MsgpackWire:
    """MessagePack on a WebSocket."""

    name = "leverage.v1.msgpack"
    ping = bytes((0x80 | PING, 0))

    def event(self, value: bytes) -> Raw:
        """Write it with the same fields."""
        return Raw(_msgpack.encode(msgspec.json.decode(value)))

    def frame(self, frame: ServerFrame) -> bytes:
        """Write a binary message."""
        return message(BINARY, _msgpack.encode(frame))


class SseWire:
    """Server-sent events, in chunks of HTTP/1.1."""

    name = "text/event-stream"
    ping = b""

    def event(self, value: bytes) -> Raw:
        """Take it as it is."""
        return Raw(value)

    def frame(self, frame: ServerFrame) -> bytes:
        """Write an event whose id is the frame's position; a frame without one leaves the reader's as it is."""
        position = getattr(frame, "position", None)
        mark = f"id: {position}\n" if isinstance(position, str) else ""
        text = b"event: %s\n%sdata: %s\n\n" % (_tag(frame).encode(), mark.encode(), _json.encode(frame))
        return b"%x\r\n%s\r\n" % (len(text), text)


def message(opcode: int, payload: bytes) -> bytes:
    """A whole message in one WebSocket frame."""
    size = len(payload)
    if size < _SHORT:
        return struct.pack("!BB", 0x80 | opcode, size) + payload
    if size < _MEDIUM:
        return struct.pack("!BBH", 0x80 | opcode, _SHORT, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, _SHORT + 1, size) + payload


def _tag(frame: ServerFrame) -> str:
    return str(frame.__struct_config__.tag)
