"""Record headers by name, and the few bytes-and-text rules they follow."""

from collections.abc import Iterable, Sequence

from schemas.codec import JSON, MSGPACK, ContentType, DecodeError

Headers = Sequence[tuple[str, bytes]]

CONTENT_TYPE = "content-type"
TRACEPARENT = "traceparent"  # W3C Trace Context
COMMAND_PARTITION = "gateway-command-partition"
COMMAND_OFFSET = "gateway-command-offset"
GROUP = "gateway-group"
REDRIVE_BATCH = "gateway-redrive-batch"
REDRIVE_COUNT = "gateway-redrive-count"
ERROR_PREFIX = "__gateway.errors."
ERROR_FIELDS = (
    "topic",
    "partition",
    "offset",
    "timestamp",
    "stage",
    "reason",
    "message",
    "attempts",
    "failed_at",
    "group",
)
# Of a letter that holds only the beginning of its record, because the whole would not fit its topic.
CUT_FIELDS = ("value_size", "value_sha256")


def header(headers: Iterable[tuple[str, bytes | None]], name: str) -> str | None:
    """The last header of that name as text, or None; bytes that are not UTF-8 are replaced."""
    found = None
    for key, value in headers:
        if key == name and value is not None:
            found = value
    return None if found is None else found.decode("utf-8", "replace")


def content_type(headers: Iterable[tuple[str, bytes | None]]) -> ContentType:
    """The encoding a record says it has: JSON where it says nothing; DecodeError for one nobody reads."""
    told = header(headers, CONTENT_TYPE)
    if told is None:
        return JSON
    said = (told or JSON).split(";")[0].strip().lower()
    if said == JSON:
        return JSON
    if said == MSGPACK:
        return MSGPACK
    raise DecodeError(f"content-type {said[:64]!r} is not one of {JSON}, {MSGPACK}")
