"""The client's transport over the edge's WebSocket: for those who do not speak Kafka, or must not hold its credentials.

One connection carries commands and their answers, and each cache or list of events has one of its own. Whatever breaks
is connected anew, after a pause that grows and has chance in it, and goes on from the last position.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import msgspec
from msgspec import Raw

from gateway.client.edge_feed import (
    EdgeFeed,
    EdgeRefusedError,
    Frame,
    ReadEvent,
    ReadLive,
    ReadProblem,
    ReadResult,
    frames,
    pinging,
)
from gateway.client.feed import FeedItem, Loading, Lost
from gateway.client.rejections import rejection
from gateway.clock import Clock, SystemClock
from schemas import (
    Event,
    LeverageRejected,
    Reason,
    SetLeverage,
    Timestamp,
    decode_event,
    encode,
)

PATIENCE = 10.0  # seconds for a connection, and for a frame on one that is asked all the time
PAUSE, LONGEST_PAUSE = 0.2, 5.0
SUBPROTOCOL = "leverage.v1.json"
MOST_SENT = 10_000  # commands whose answers are waited for
BEGINNING = "beginning"  # the position before the oldest event there is
_log = logging.getLogger(__name__)


_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError)


class _OpenCommand:
    """A command on its way."""

    def __init__(self, command: SetLeverage, *, wants_answer: bool) -> None:
        self.command = command
        self.wants_answer = wants_answer
        self.taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def frame(self) -> str:
        """As the edge takes it."""
        ask = {"type": "command", "ref": self.command.command_id, "command": Raw(encode(self.command))}
        return msgspec.json.encode(ask).decode()


class EdgeTransport:
    """Reaches the gateway through an edge."""

    def __init__(
        self, url: str, token: str, *, ssl_context: ssl.SSLContext | None = None, clock: Clock | None = None
    ) -> None:
        """Take the address, `wss://host/v1/stream`, and the token."""
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._ssl = ssl_context
        self._clock = clock or SystemClock()
        self._http: aiohttp.ClientSession | None = None
        self._on_event: Callable[[Event], None] = _ignore
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._sent: dict[str, _OpenCommand] = {}
        self._commands: asyncio.Task[None] | None = None

    async def start(self, on_event: Callable[[Event], None]) -> None:
        """Connect; EdgeRefusedError where the token is not let in, ConnectionError where no edge answers."""
        self._on_event = on_event
        self._http = aiohttp.ClientSession(headers=self._headers)
        is_there: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._commands = asyncio.create_task(self._keep_commands(is_there), name="commands")
        try:
            await is_there
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Disconnect."""
        if self._commands is not None:
            self._commands.cancel()
            with suppress(asyncio.CancelledError):
                await self._commands
        if self._http is not None:
            await self._http.close()

    async def publish(self, command: SetLeverage, *, wants_answer: bool) -> None:
        """Hand a command to the edge; returns when Kafka has it.

        Raises:
            Rejected: a rule is broken, and nobody waits for an answer that says so; ConnectionError: Kafka did not
            confirm it; EdgeRefusedError: the token may not.
        """
        if self._commands is None or self._commands.done():
            raise RuntimeError("the client is not started: use `async with`")
        sent = self._sent[command.command_id] = _OpenCommand(command, wants_answer=wants_answer)
        if len(self._sent) > MOST_SENT:
            del self._sent[next(iter(self._sent))]
        if self._socket is not None:
            with suppress(*_FAILURES):
                await self._socket.send_str(sent.frame)
        try:
            await sent.taken
        except BaseException:
            self._sent.pop(command.command_id, None)  # who gave it up does not want it sent later
            raise
        if not wants_answer:
            self._sent.pop(command.command_id, None)

    async def follow(
        self, *, accounts: frozenset[str] | None, from_beginning: bool, with_state: bool
    ) -> AsyncGenerator[FeedItem]:
        """Follow the log; as the port says."""
        yield Loading("the beginning")
        ask = {"type": "subscribe", "id": "s", "mode": "events"} | (
            {} if accounts is None else {"accounts": [*accounts]}
        )
        start = BEGINNING if from_beginning else None
        reader = EdgeFeed(start, with_state=with_state, monotonic=self._clock.monotonic)
        pauses = _Pauses()
        while True:
            try:
                async with self._connected(autoping=False) as socket, pinging(socket, reader):
                    resume = {} if reader.position is None else {"resume": reader.position}
                    await socket.send_str(msgspec.json.encode(ask | resume).decode())
                    async for frame in frames(socket, PATIENCE):
                        for item in reader.take(frame):
                            yield item
                        if isinstance(frame, ReadLive):
                            pauses.begin()
                            await socket.ping(reader.ping())
                why = "the edge closed the stream"
            except _FAILURES as error:
                why = f"the edge: {_said(error)}"
            yield Lost(why)
            await pauses.wait()

    async def _keep_commands(self, is_there: asyncio.Future[None]) -> None:
        """Keep a connection for commands, for ever; what is not answered yet is sent again on each new one."""
        pauses = _Pauses()
        while True:
            try:
                async with self._connected() as socket:
                    for sent in list(self._sent.values()):
                        await socket.send_str(sent.frame)
                    self._socket = socket
                    pauses.begin()
                    if not is_there.done():
                        is_there.set_result(None)
                    async for frame in frames(socket):
                        self._take(frame)
            except (*_FAILURES, EdgeRefusedError) as error:
                if not is_there.done():
                    refused = isinstance(error, EdgeRefusedError)
                    is_there.set_exception(error if refused else ConnectionError(f"{self._url}: {_said(error)}"))
                    return
                _log.warning("lost_edge %s: %s", self._url, _said(error))
            finally:
                self._socket = None
            await pauses.wait()

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, ReadResult):
            sent = self._sent.get(frame.ref)
            if sent is not None and not sent.taken.done():  # else it was taken before, and only its event is missing
                self._taken(sent, frame.error)
        elif isinstance(frame, ReadEvent) and frame.ref is not None and self._sent.pop(frame.ref, None) is not None:
            self._on_event(decode_event(bytes(frame.event)))

    def _taken(self, sent: _OpenCommand, error: ReadProblem | None) -> None:
        if error is None:
            sent.taken.set_result(None)
            return
        try:
            reason: Reason = msgspec.convert(error.code, Reason)
        except msgspec.ValidationError:
            kind = ConnectionError if error.code == "unconfirmed" else EdgeRefusedError
            sent.taken.set_exception(kind(f"{error.code}: {error.message}"))
            return
        event = _refused_at_the_door(sent.command, reason, error.message, self._clock.wall())
        if sent.wants_answer:
            self._sent.pop(sent.command.command_id, None)
            sent.taken.set_result(None)
            self._on_event(event)
        else:
            sent.taken.set_exception(rejection(event))

    @asynccontextmanager
    async def _connected(self, *, autoping: bool = True) -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
        if self._http is None:
            raise RuntimeError("the client is not started: use `async with`")
        try:
            async with asyncio.timeout(PATIENCE):
                socket = await self._http.ws_connect(
                    self._url,
                    protocols=(SUBPROTOCOL,),
                    ssl=self._ssl or True,
                    max_msg_size=0,
                    autoping=autoping,
                    heartbeat=20.0 if autoping else None,
                )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in {401, 403}:
                raise EdgeRefusedError(f"{self._url} answers {error.status}: the token is not let in") from error
            raise
        try:
            yield socket
        finally:
            with suppress(*_FAILURES):
                async with asyncio.timeout(1.0):
                    await socket.close()


class _Pauses:
    """Pauses between connections, longer each time, with chance in them so that not all come back at once."""

    def __init__(self) -> None:
        self._next = PAUSE

    def begin(self) -> None:
        """Begin anew: it worked."""
        self._next = PAUSE

    async def wait(self) -> None:
        """Wait a while."""
        await asyncio.sleep(self._next * (0.5 + random.random()))  # noqa: S311 - no secret
        self._next = min(2 * self._next, LONGEST_PAUSE)


def _refused_at_the_door(command: SetLeverage, reason: Reason, message: str, now: float) -> LeverageRejected:
    """The event that the gateway would have written, had the edge let the command through."""
    return LeverageRejected(
        event_id=f"door/{command.command_id}",
        command_id=command.command_id,
        account=command.account,
        target=command.target,
        lane=command.target.lane,
        issuer=command.issuer,
        redrive_of=command.redrive_of,
        attempts=0,
        issued_at=command.issued_at,
        occurred_at=Timestamp.from_epoch(now),
        leverage=command.leverage,
        reason=reason,
        message=message,
    )


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _ignore(_event: Event) -> None:
    """Nobody waits for answers yet."""
