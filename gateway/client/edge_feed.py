"""What an edge's frames say, of one subscription over any number of connections; `edge` connects and hands them in.

How old it is, is asked and not believed: the edge answers a ping by a heartbeat that says how far it is behind the log,
and then by its pong. So all that was committed that long before the ping was sent has been told when the pong is here,
however long either was on its way.
"""

import asyncio
import logging
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

import aiohttp
import msgspec
from msgspec import Raw, Struct

from gateway.client.feed import Appended, Current, FeedItem, Loading, LoggedEvent, Lost, Rows
from schemas import DecodeError, Event, LeverageChanged, decode_event

BEAT = 0.25  # seconds between two pings
BEHIND = 1.0  # seconds of lag from which on an edge cannot be trusted to be current
_ping = struct.Struct("!d")
_log = logging.getLogger(__name__)


class EdgeRefusedError(Exception):
    """Raised where the edge refuses what no rule of a command forbids: the token, an account, a subscription."""


class Pong(Struct, frozen=True):
    """The answer to a ping, with its payload."""

    data: bytes


class _Tagged(Struct, frozen=True, tag_field="type"):
    pass


class ReadHello(_Tagged, frozen=True, tag="hello"):
    """The first frame."""


class ReadSnapshot(_Tagged, frozen=True, tag="snapshot"):
    """A page of lanes."""

    lanes: list[Raw]


class ReadLive(_Tagged, frozen=True, tag="live"):
    """All that was there has been told."""

    position: str


class ReadEvent(_Tagged, frozen=True, tag="event"):
    """One event; `ref` where this client sent its command."""

    event: Raw
    position: str | None = None
    ref: str | None = None


class ReadHeartbeat(_Tagged, frozen=True, tag="heartbeat"):
    """How far the edge is behind."""

    lag_ms: float
    position: str | None = None


class ReadProblem(Struct, frozen=True):
    """Why something was refused."""

    code: str
    message: str


class ReadResult(_Tagged, frozen=True, tag="result"):
    """What became of handing a command in."""

    ref: str
    error: ReadProblem | None = None


class ReadError(_Tagged, frozen=True, tag="error"):
    """A frame of ours that was refused."""

    code: str
    message: str


_decoder = msgspec.json.Decoder(
    ReadHello | ReadSnapshot | ReadLive | ReadEvent | ReadHeartbeat | ReadResult | ReadError
)
Frame = ReadHello | ReadSnapshot | ReadLive | ReadEvent | ReadHeartbeat | ReadResult | ReadError | Pong


class EdgeFeed:
    """What the frames of one subscription say, over any number of connections.

    Attributes:
        position: where to go on from; None: with a snapshot.
        is_live: whether this connection has told all that was there.
    """

    def __init__(self, position: str | None, *, with_state: bool, monotonic: Callable[[], float]) -> None:
        self.position = position
        self.is_live = False
        self._with_state = with_state
        self._monotonic = monotonic
        self._is_loading = True
        self._lag: float | None = None

    def ping(self) -> bytes:
        """What to ask with: the time."""
        return _ping.pack(self._monotonic())

    def take(self, frame: Frame) -> list[FeedItem]:
        """The items of a frame, in order."""
        match frame:
            case ReadHello():
                self.is_live, self._lag = False, None
            case ReadSnapshot():
                return self._rows(frame)
            case ReadLive():
                self.position, self._is_loading, self.is_live = frame.position, False, True
            case ReadEvent():
                self.position = frame.position or self.position
                event = _read(frame.event)
                return [] if event is None else [Appended([LoggedEvent(-1, -1, event)])]
            case ReadHeartbeat():
                self.position = frame.position or self.position
                self._lag = frame.lag_ms / 1000
                return self._behind()
            case Pong():
                return self._current(frame)
            case ReadError():
                raise EdgeRefusedError(f"{frame.code}: {frame.message}")
            case _:
                pass
        return []

    def _rows(self, frame: ReadSnapshot) -> list[FeedItem]:
        items: list[FeedItem] = []
        if not self._is_loading or self.position is not None:
            items.append(Loading("the edge could not go on from where this client was"))
            self.position, self._is_loading = None, True
        if self._with_state:
            events = [_read(raw) for raw in frame.lanes]
            items.append(Rows([event for event in events if isinstance(event, LeverageChanged)]))
        return items

    def _current(self, pong: Pong) -> list[FeedItem]:
        if not self.is_live or self._lag is None or len(pong.data) != _ping.size:
            return []
        asked_at: float = _ping.unpack(pong.data)[0]
        items = [Current(self._monotonic() - asked_at + self._lag), *self._behind()]
        self._lag = None  # it was that pong's
        return items

    def _behind(self) -> list[FeedItem]:
        if not self.is_live or self._lag is None or self._lag <= BEHIND:
            return []
        return [Lost(f"the edge is {self._lag:.1f} s behind the log")]


async def frames(socket: aiohttp.ClientWebSocketResponse, silence: float | None = None) -> AsyncGenerator[Frame]:
    """The frames of a connection up to its end; those of kinds that are not known are passed over.

    Raises:
        TimeoutError: nothing came for `silence` seconds.
        EdgeRefusedError: the edge says not to come back.
    """
    while not socket.closed:
        message = await socket.receive(silence)
        if message.type is aiohttp.WSMsgType.TEXT:
            with suppress(msgspec.ValidationError):
                yield _decoder.decode(message.data)
        elif message.type is aiohttp.WSMsgType.PONG:
            yield Pong(bytes(message.data))
        elif message.type is aiohttp.WSMsgType.PING:
            await socket.pong(message.data)
    if socket.close_code is not None and 4500 <= socket.close_code <= 4999:  # noqa: PLR2004 - do not come back
        raise EdgeRefusedError(f"the edge ended the stream for good, with {socket.close_code}")


@asynccontextmanager
async def pinging(socket: aiohttp.ClientWebSocketResponse, feed: EdgeFeed) -> AsyncGenerator[None]:
    """Ask again and again, meanwhile, how old what came is."""

    async def ping() -> None:
        while True:
            await socket.ping(feed.ping())
            await asyncio.sleep(BEAT)

    task = asyncio.create_task(ping(), name="pings")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, aiohttp.ClientError, OSError):  # the reader sees what broke
            await task


def _read(raw: Raw) -> Event | None:
    try:
        return decode_event(bytes(raw))
    except DecodeError as error:
        _log.warning("skipped_event: %s", error)
        return None
