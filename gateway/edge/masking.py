# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# ruff: noqa: SLF001 - aiohttp reads frames of a client that are not masked, and has no switch for it
"""A WebSocket that fails where a client does not mask a frame (RFC 6455 5.1); aiohttp's private parts are all here."""

import asyncio
from typing import Any, cast

from aiohttp import WebSocketError, WSCloseCode, web

_MASKED = 0x80
_LENGTH = 0x7F
_LENGTH_BYTES = {126: 2, 127: 8}
_KEY_BYTES = 4


class MaskingWebSocket(web.WebSocketResponse):
    """As aiohttp's, but strict."""

    def _post_start(self, request: web.BaseRequest, protocol: str | None, writer: Any) -> None:
        watch = MaskWatch()
        connection: Any = request.protocol
        early = watch.is_unmasked(connection._message_tail)
        super()._post_start(request, protocol, writer)
        connection._payload_parser = strict = _StrictParser(connection._payload_parser, self._reader, watch)
        if early:
            strict.fail()


def transport_of(request: web.BaseRequest) -> asyncio.Transport:
    """The connection's transport; ConnectionResetError where it is gone."""
    if request.transport is None:
        raise ConnectionResetError("the connection is gone")
    return request.transport


class _StrictParser:
    """Looks at the frames' heads, and passes everything on."""

    def __init__(self, parser: Any, queue: Any, watch: "MaskWatch") -> None:
        self._parser = parser
        self._queue = queue
        self._watch = watch
        self._has_failed = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        if self._has_failed:
            return False, b""
        if self._watch.is_unmasked(data):
            self.fail()
            return False, b""
        return cast("tuple[bool, bytes]", self._parser.feed_data(data))

    def fail(self) -> None:
        self._has_failed = True
        self._queue.set_exception(WebSocketError(WSCloseCode.PROTOCOL_ERROR, "a client's frames are masked"))

    def feed_eof(self) -> None:
        self._parser.feed_eof()


class MaskWatch:
    """Follows the heads of frames through a stream of bytes."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._skip = 0

    def is_unmasked(self, data: bytes) -> bool:
        """Whether a frame that is not masked begins in what comes next."""
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            self._head.append(data[at])
            at += 1
            if len(self._head) == 2 and not self._head[1] & _MASKED:  # noqa: PLR2004 - the second byte has the bit
                return True
            self._end_head()
        return False

    def _end_head(self) -> None:
        if len(self._head) < 2:  # noqa: PLR2004
            return
        length = self._head[1] & _LENGTH
        more = _LENGTH_BYTES.get(length, 0)
        if len(self._head) == 2 + more:
            if more:
                length = int.from_bytes(self._head[2:])
            self._skip = length + _KEY_BYTES
            self._head.clear()
