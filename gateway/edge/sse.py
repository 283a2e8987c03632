"""A stream as server-sent events: one subscription, of what the query asks for."""

import asyncio
from collections.abc import Callable

import msgspec
from aiohttp import web

from gateway.edge.door import DoorError
from gateway.edge.frames import ErrorFrame, Subscribe
from gateway.edge.masking import transport_of
from gateway.edge.query import query_of
from gateway.edge.session import Session
from gateway.edge.websocket import SessionMaker
from gateway.edge.wire import SseWire

CLOSE_PATIENCE = 5.0
NAME = "events"  # of the one subscription
LAST_CHUNK = b"0\r\n\r\n"
HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "Connection": "close",
}
_single = ("mode", "resume", "max_delay_ms")
_several = {"venue": "venues", "account": "accounts", "lane": "lanes", "issuer": "issuers"}


def asked(request: web.BaseRequest) -> Subscribe:
    """The subscription that a request asks for; DoorError where it cannot be meant."""
    found = query_of(request, several=tuple(_several), single=_single)
    ask: dict[str, object] = {"type": "subscribe", "id": NAME, "mode": found.single.get("mode", "events")}
    ask |= {_several[name]: values for name, values in found.several.items()}
    resume = request.headers.get("Last-Event-ID") or found.single.get("resume")
    if resume:
        ask["resume"] = resume
    if "max_delay_ms" in found.single:
        ask["max_delay_ms"] = found.single["max_delay_ms"]
    try:
        return msgspec.convert(ask, Subscribe, strict=False)
    except msgspec.ValidationError as error:
        raise DoorError(400, "malformed", str(error)) from None


class EventStream:
    """One connection, from its first byte to its end."""

    def __init__(self, request: web.BaseRequest, make: SessionMaker, headers: dict[str, str]) -> None:
        self._request = request
        self._make = make
        self._ask = asked(request)
        self._response = web.StreamResponse(headers=HEADERS | headers)
        self._ended = asyncio.Event()

    async def serve(self, begin: Callable[[Session], None], leave: Callable[[Session], None]) -> web.StreamResponse:
        """Serve it until it ends; `begin` and `leave` are told of the session."""
        transport = transport_of(self._request)
        session = self._make(SseWire(), transport, lambda code, reason: self._end(transport, code, reason))
        session.subscribe(self._ask)  # what is refused is refused with a status
        try:
            self._response.enable_chunked_encoding()
            await self._response.prepare(self._request)
            begin(session)
            session.greet()
            await self._ended.wait()
        finally:
            session.leave()
            leave(session)
            transport.close()
            asyncio.get_running_loop().call_later(CLOSE_PATIENCE, transport.abort)
        return self._response

    def _end(self, transport: asyncio.Transport, code: int, reason: str) -> None:
        if not self._ended.is_set():
            if not transport.is_closing():
                frame = ErrorFrame(code=str(code), message=reason)
                transport.write(SseWire().frame(frame) + LAST_CHUNK)
            self._ended.set()
