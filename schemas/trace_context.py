"""W3C Trace Context: a command's `traceparent` is checked and passed on to its events, never to a venue.

Source: https://www.w3.org/TR/trace-context/ section 3.2; no span is made here, so the header stays as it came.
"""

import re
from collections.abc import Iterable

from schemas.headers import TRACEPARENT, header

_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})(?P<parent_id>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-.*)?"
)
_LONGEST = 256  # of later versions, which may append fields


def valid_traceparent(text: str) -> bool:
    """Whether this is a `traceparent` that other parties may be shown: version 00 exactly, or a later one's shape."""
    found = _TRACEPARENT.fullmatch(text) if len(text) <= _LONGEST else None
    return found is not None and found["version"] != "ff" and (found["version"] != "00" or found["more"] is None)


def trace_headers(headers: Iterable[tuple[str, bytes | None]]) -> tuple[tuple[str, bytes], ...]:
    """The trace header that a command's answer carries: the command's own where it is valid, else none."""
    text = header(headers, TRACEPARENT)
    return ((TRACEPARENT, text.encode()),) if text is not None and valid_traceparent(text) else ()
