"""What was last done with a dead letter: the value of the compacted topic of dispositions, keyed by the letter."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from schemas.codec import DecodeError, read_timestamp, write_timestamp
from schemas.command import CommandId
from schemas.timestamps import Timestamp

DispositionState = Literal["redriven", "archived", "open", "mended"]


class DeadLetterDisposition(Struct, frozen=True, kw_only=True, tag_field="type", tag="DeadLetterDisposition"):
    """What was last done with one dead letter, by whom and why; the dead-letter tool writes it, never the gateway."""

    letter: Annotated[str, Meta(description="`<partition>:<offset>` on the dead-letter topic.", examples=["3:1042"])]
    state: Annotated[
        DispositionState,
        Meta(description="`open`: restored after archiving; `mended`: its bytes were published corrected."),
    ]
    batch: Annotated[str, Meta(description="The act that this was part of: `rd-` and a UUIDv7.")]
    operator: Annotated[str, Meta(description="Who did it, as told.")]
    note: Annotated[str, Meta(description="Why, as told.")]
    at: Annotated[Timestamp, Meta(description="When it was written.")]
    command_id: Annotated[CommandId | None, Meta(description="The new command's, where one was published.")] = None
    redrives: Annotated[int, Meta(ge=0, description="How often this chain of letters was redriven by now.")] = 0
    forced: Annotated[str | None, Meta(description="The verdict that was overridden.")] = None


_decoder = msgspec.json.Decoder(DeadLetterDisposition, dec_hook=read_timestamp)
_encoder = msgspec.json.Encoder(enc_hook=write_timestamp)


def encode_disposition(disposition: DeadLetterDisposition) -> bytes:
    """Write one disposition as JSON."""
    return _encoder.encode(disposition)


def decode_disposition(value: bytes) -> DeadLetterDisposition:
    """Read one disposition; DecodeError says what is wrong and where."""
    try:
        return _decoder.decode(value)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise DecodeError(str(error)[:300]) from error
