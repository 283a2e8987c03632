"""A record of the events or the state topic as the edge passes it on: its bytes, and as little else as filters need.

Fields that this version does not know go through untouched; so does a kind of event that it does not know.
"""

from typing import Any

import msgspec
from msgspec import Struct

from schemas import DecodeError, Timestamp
from schemas.codec import JSON, write_timestamp
from schemas.headers import content_type

CHANGED = "LeverageChanged"


class _Target(Struct, frozen=True):
    venue: str


class Face(Struct, frozen=True):
    """What a reader may choose by, and a command's answer is known by."""

    type: str
    event_id: str
    command_id: str
    account: str
    lane: str
    target: _Target
    issuer: str | None = None


class EventRow:
    """One event, and where it stands in the events topic; a row of the state topic stands nowhere (-1).

    Attributes:
        value: its JSON, in one line.
        at: when it was written, in wall seconds.
    """

    __slots__ = ("at", "face", "offset", "partition", "value")

    def __init__(self, face: Face, value: bytes, *, partition: int, offset: int, at: float) -> None:
        self.face = face
        self.value = value
        self.partition = partition
        self.offset = offset
        self.at = at

    @property
    def lane(self) -> tuple[str, str, str]:
        """Venue, account and lane."""
        return self.face.target.venue, self.face.account, self.face.lane

    @property
    def key(self) -> tuple[str, str]:
        """What its command is known by: `<venue>:<account>`, and the command's id."""
        return f"{self.face.target.venue}:{self.face.account}", self.face.command_id

    @property
    def is_change(self) -> bool:
        """Whether it says what the venue has now."""
        return self.face.type == CHANGED


_face = msgspec.json.Decoder(Face)


def read_record(record: Any, *, offset: int | None = None) -> EventRow:
    """Read a record of Kafka's; DecodeError where it is no event.

    `offset`: what to say instead of the record's own.
    """
    value: bytes = record.value or b""
    try:
        if content_type(record.headers) != JSON:
            value = msgspec.json.encode(msgspec.msgpack.decode(value), enc_hook=_plain)
        elif b"\n" in value or b"\r" in value:
            value = msgspec.json.format(value, indent=-1)
        face = _face.decode(value)
        value.decode()  # what is passed over is not looked at by the decoder
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DecodeError(str(error)) from error
    place = record.offset if offset is None else offset
    return EventRow(face, value, partition=record.partition, offset=place, at=record.timestamp / 1000)


def _plain(value: Any) -> Any:
    return write_timestamp(Timestamp.of(value))
