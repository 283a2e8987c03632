"""The routes of the edge over HTTP: each checks at the door, does its part, and answers in JSON."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import structlog
from aiohttp import web
from aiohttp.hdrs import ACCESS_CONTROL_ALLOW_ORIGIN, VARY

from gateway.clock import Clock
from gateway.edge.commands import CommandDesk, split
from gateway.edge.door import Door, DoorError
from gateway.edge.hub import Hub
from gateway.edge.masking import transport_of
from gateway.edge.query import filter_of, query_of
from gateway.edge.session import Ending, Session
from gateway.edge.sse import EventStream
from gateway.edge.streams import Streams
from gateway.edge.tokens import Token
from gateway.edge.websocket import SessionMaker, WebSocketStream
from gateway.edge.wire import Wire
from gateway.settings.tree import EdgeSettings
from schemas.codec import JSON, MSGPACK, ContentType
from schemas.headers import TRACEPARENT
from schemas.trace_context import trace_headers

BODY_PATIENCE = 30.0  # seconds for the whole of a request's body
WRITE_PATIENCE = 30.0  # seconds in which a reader of a snapshot takes one more piece
PIECE = 500  # lanes
NO_STORE = MappingProxyType({"Cache-Control": "no-store"})
ALLOWED = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, traceparent"

Route = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Api:
    """All routes below `/v1`."""

    def __init__(
        self,
        settings: EdgeSettings,
        *,
        door: Door,
        desk: CommandDesk,
        streams: Streams,
        hub: Callable[[], Hub | None],
        clock: Clock,
        count: Callable[[str, int], None],
    ) -> None:
        """`count` is told of each answer: its route and status."""
        self._settings = settings
        self._door = door
        self._desk = desk
        self._streams = streams
        self._hub_now = hub
        self._clock = clock
        self._count = count
        self._log: Any = structlog.get_logger("gateway")
        self._routes: Mapping[tuple[str, str], Route] = {
            ("GET", "/v1/leverage"): self._leverage,
            ("GET", "/v1/stream"): self._stream,
            ("GET", "/v1/events"): self._events,
            ("POST", "/v1/commands"): self._commands,
        }

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        path = request.path
        try:
            response = await self._route(request)
        except DoorError as error:
            response = error.answer()
        except Exception as error:
            if isinstance(error, ConnectionError):
                raise
            self._log.exception("failed_route", path=path)
            response = DoorError(500, "failed", "this is a fault of the edge; it is in its log").answer()
        if not response.prepared:
            response.headers.update(_cors(request, self._settings))
        is_known = any(path == known for _, known in self._routes)
        self._count(path if is_known else "other", response.status)
        return response

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        methods = [method for method, known in self._routes if known == path]
        origin = self._door.origin(request)
        if not methods:
            raise DoorError(404, "not_found", "there are /v1/leverage, /v1/stream, /v1/events and /v1/commands")
        if request.method == "OPTIONS" and origin is not None:
            return _preflight(origin, methods)
        if request.method not in methods:
            allowed = ", ".join(methods)
            raise DoorError(405, "not_allowed", f"{path} takes {allowed}", headers={"Allow": allowed})
        return await self._routes[request.method, path](request)

    def _hub(self) -> Hub:
        hub = self._hub_now()
        if hub is None:
            message = "the state is being read; come back in a moment"
            raise DoorError(503, "not_ready", message, headers={"Retry-After": "1"})
        return hub

    async def _leverage(self, request: web.BaseRequest) -> web.StreamResponse:
        token = self._door.token(request, "read")
        chosen = filter_of(query_of(request, several=("venue", "account", "lane")), token.rights)
        hub = self._hub()
        position, rows = hub.position(token.rights), hub.snapshot(chosen, token.rights)
        if len(rows) <= PIECE:
            body = b'{"position":"%s","lanes":[%s]}' % (position.encode(), b",".join(row.value for row in rows))
            return web.Response(body=body, content_type=JSON, headers=NO_STORE)
        response = web.StreamResponse(headers=NO_STORE | _cors(request, self._settings))
        response.content_type = JSON
        await response.prepare(request)
        await _piece(response, b'{"position":"%s","lanes":[' % position.encode())
        for begin in range(0, len(rows), PIECE):
            comma = b"," if begin else b""
            await _piece(response, comma + b",".join(row.value for row in rows[begin : begin + PIECE]))
        await _piece(response, b"]}")
        return response

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        token = self._stream_token(request)
        query_of(request)
        make = self._session_maker(token, self._hub())
        stream = WebSocketStream(
            request, make, door=self._door, max_frame=self._settings.max_frame_bytes, clock=self._clock
        )
        with self._streams.place(token):
            return await stream.serve(self._streams.begin, self._streams.leave)

    async def _events(self, request: web.BaseRequest) -> web.StreamResponse:
        token = self._door.token(request, "read")
        make = self._session_maker(token, self._hub())
        stream = EventStream(request, make, _cors(request, self._settings))
        with self._streams.place(token):
            return await stream.serve(self._streams.begin, self._streams.leave)

    def _stream_token(self, request: web.BaseRequest) -> Token:
        """Who only sends has a stream too, for the answers."""
        try:
            return self._door.token(request, "read")
        except DoorError as error:
            if error.status != 403:  # noqa: PLR2004
                raise
            return self._door.token(request, "send")

    def _session_maker(self, token: Token, hub: Hub) -> SessionMaker:
        def make(wire: Wire, transport: asyncio.Transport, end: Ending) -> Session:
            return Session(
                token,
                hub,
                wire,
                transport,
                settings=self._settings,
                door=self._door,
                desk=self._desk,
                clock=self._clock,
                end=end,
            )

        return make

    async def _commands(self, request: web.BaseRequest) -> web.StreamResponse:
        token = self._door.token(request, "send")
        seconds = self._seconds(query_of(request, single=("wait",)).single.get("wait"))
        encoding = _encoding(request)
        hub = self._hub()
        bodies = split(await _body(request), encoding, request.headers.get("Idempotency-Key"))
        if len(bodies) > self._settings.max_list:
            raise DoorError(422, "invalid", f"a list may have {self._settings.max_list} commands, not {len(bodies)}")
        self._door.spend(token, len(bodies) - 1)
        commands = (
            self._desk.check_all(token, bodies, encoding)
            if len(bodies) > 1
            else [self._desk.check(token, bodies[0], encoding)]
        )
        traced = request.headers.get(TRACEPARENT, "").encode("utf-8", "replace")
        trace = trace_headers([(TRACEPARENT, traced)])
        with self._desk.answers(hub, commands, seconds) as answers:
            taken = [await self._desk.hand_over(hub, token, command, trace) for command in commands]
            await asyncio.gather(*taken)
            events = await answers.wait() if seconds else []
        ids = [command.command_id for command in commands]
        if not seconds or None in events:
            return _json(202, {"accepted": ids})
        return _json(
            200, {"accepted": ids, "events": [msgspec.Raw(event.value) for event in events if event is not None]}
        )

    def _seconds(self, text: str | None) -> float:
        if text is None:
            return 0.0
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 < seconds <= self._settings.max_wait:
            message = f"wait is a number of seconds above 0, at most {self._settings.max_wait:g}"
            raise DoorError(400, "malformed", message)
        return seconds


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type=JSON, headers=NO_STORE)


async def _piece(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_PATIENCE):
        await response.write(data)


async def _body(request: web.BaseRequest) -> bytes:
    if request.headers.get("Expect", "").lower() == "100-continue":
        transport_of(request).write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        async with asyncio.timeout(BODY_PATIENCE):
            return await request.read()
    except TimeoutError:
        raise DoorError(408, "too_slow", f"the body did not come within {BODY_PATIENCE:g} s") from None
    except web.HTTPRequestEntityTooLarge:
        raise DoorError(413, "too_large", "the body is too large (edge.max_body_bytes)") from None


def _encoding(request: web.BaseRequest) -> ContentType:
    said = request.content_type
    if said == MSGPACK:
        return MSGPACK
    if said in {JSON, "application/octet-stream"}:  # what aiohttp says where nothing was said
        return JSON
    raise DoorError(415, "unknown_content_type", f"the body is {JSON} or {MSGPACK}")


def _preflight(origin: str, methods: list[str]) -> web.Response:
    headers = {
        ACCESS_CONTROL_ALLOW_ORIGIN: origin,
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": ALLOWED,
        "Access-Control-Max-Age": "600",
        VARY: "Origin",
    }
    return web.Response(status=204, headers=headers)


def _cors(request: web.BaseRequest, settings: EdgeSettings) -> dict[str, str]:
    origin = request.headers.get("Origin")
    if origin is None or origin not in settings.origins:
        return {}
    return {ACCESS_CONTROL_ALLOW_ORIGIN: origin, VARY: "Origin"}
