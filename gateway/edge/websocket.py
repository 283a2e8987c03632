"""A stream over a WebSocket: frames in, frames out, pings, and an end with a code that says whether to come back."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from aiohttp.hdrs import SEC_WEBSOCKET_PROTOCOL

from gateway.clock import Clock
from gateway.edge.door import SUBPROTOCOL, Door, DoorError
from gateway.edge.frames import ClientFrame, CommandFrame, ErrorFrame, Subscribe, Unsubscribe
from gateway.edge.masking import MaskingWebSocket, transport_of
from gateway.edge.session import SLOW_READER, Ending, Session
from gateway.edge.wire import CLOSE, LONGEST_REASON, JsonWire, MsgpackWire, Wire, message
from schemas.codec import JSON, MSGPACK, ContentType

CLOSE_PATIENCE = 5.0  # seconds for the closing handshake
SLOW_CLOSE_PATIENCE = 30.0  # the same, where the reader has much to read before it
HANDSHAKE_PATIENCE = 10.0
NEVER_SENT = frozenset({1004, 1005, 1006, 1015})  # codes that no frame may have (RFC 6455 7.4.1)
SessionMaker = Callable[[Wire, asyncio.Transport, Ending], Session]

_WIRES: dict[str, type[JsonWire] | type[MsgpackWire]] = {kind.name: kind for kind in (JsonWire, MsgpackWire)}
_decoders: dict[ContentType, Any] = {
    JSON: msgspec.json.Decoder(ClientFrame),
    MSGPACK: msgspec.msgpack.Decoder(ClientFrame),
}


def chosen_wire(request: web.BaseRequest) -> tuple[Wire, str | None]:
    """How frames are written, by the first subprotocol offered that is known; DoorError where none is.

    Who offers none gets JSON.
    """
    offered = ",".join(request.headers.getall(SEC_WEBSOCKET_PROTOCOL, ())).split(",")
    names = [name.strip() for name in offered if name.strip()]
    for name in names:
        if name in _WIRES:
            return _WIRES[name](), name
    if names:
        known = " or ".join(_WIRES)
        also = ", also beside bearer.<token>" if any(name.startswith(SUBPROTOCOL) for name in names) else ""
        raise DoorError(400, "unknown_subprotocol", f"offer {known}{also}")
    return JsonWire(), None


class WebSocketStream:
    """One connection, from its handshake to its end."""

    def __init__(
        self, request: web.BaseRequest, make: SessionMaker, *, door: Door, max_frame: int, clock: Clock
    ) -> None:
        """`make` makes the session."""
        self._request = request
        self._make = make
        self._door = door
        self._clock = clock
        self._wire, name = chosen_wire(request)
        self._encoding: ContentType = MSGPACK if isinstance(self._wire, MsgpackWire) else JSON
        self._socket = MaskingWebSocket(
            protocols=() if name is None else (name,),
            compress=False,
            autoping=False,
            autoclose=False,
            max_msg_size=max_frame,
            timeout=CLOSE_PATIENCE,
        )
        if not self._socket.can_prepare(request):
            raise DoorError(426, "upgrade_required", "this is a WebSocket", headers={"Upgrade": "websocket"})

    async def serve(self, begin: Callable[[Session], None], leave: Callable[[Session], None]) -> web.StreamResponse:
        """Serve it until it ends; `begin` and `leave` are told of the session."""
        async with asyncio.timeout(HANDSHAKE_PATIENCE):
            await self._socket.prepare(self._request)
        transport = transport_of(self._request)
        session = self._make(self._wire, transport, lambda code, reason: _end(transport, code, reason))
        begin(session)
        try:
            session.greet()
            said = await self._receive(session)
            if session.ended_with is None:  # the answer to the client's own close
                code = WSCloseCode.PROTOCOL_ERROR if said in NEVER_SENT else WSCloseCode.OK
                await self._socket.close(code=code, drain=False)
        finally:
            session.leave()
            leave(session)
            transport.close()
            asyncio.get_running_loop().call_later(CLOSE_PATIENCE, transport.abort)
        return self._socket

    async def _receive(self, session: Session) -> object:
        """Take what comes until the end, and return the code of the client's close where there was one."""
        while True:
            received: WSMessage = await self._socket.receive()
            session.heard_at = self._clock.monotonic()
            match received.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    await self._take(session, received)
                case WSMsgType.PING:
                    session.answer(received.data)
                case WSMsgType.PONG:
                    pass
                case _:
                    return received.data
            await session.outlet.drained()  # who does not read is not listened to

    async def _take(self, session: Session, received: WSMessage) -> None:
        if session.ended_with is not None:
            return
        is_text = received.type is WSMsgType.TEXT
        if is_text != (self._encoding == JSON):
            kind = "text" if self._encoding == JSON else "binary"
            session.write(ErrorFrame(code="malformed", message=f"frames of {self._wire.name} are {kind} messages"))
            return
        data: bytes = received.data.encode() if is_text else received.data
        name: str | None = None
        try:
            self._door.spend(session.token)
            frame: ClientFrame = _decoders[self._encoding].decode(data)
            name = frame.id if not isinstance(frame, CommandFrame) else None
            await self._act(session, frame)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            session.write(ErrorFrame(code="malformed", message=str(error)[:300]))
        except DoorError as error:
            session.write(
                ErrorFrame(id=msgspec.UNSET if name is None else name, code=error.code, message=error.message)
            )

    async def _act(self, session: Session, frame: ClientFrame) -> None:
        match frame:
            case Subscribe():
                session.subscribe(frame)
            case Unsubscribe():
                session.unsubscribe(frame.id)
            case CommandFrame():
                await session.command(frame, self._encoding)


def _end(transport: asyncio.Transport, code: int, reason: str) -> None:
    """Write the close frame after all that was written; the client's own comes when it has read so far."""
    text = reason.encode()
    if not transport.is_closing():
        transport.write(message(CLOSE, struct.pack("!H", code) + (text if len(text) <= LONGEST_REASON else b"")))
    patience = SLOW_CLOSE_PATIENCE if code == SLOW_READER else CLOSE_PATIENCE
    asyncio.get_running_loop().call_later(patience, transport.abort)
