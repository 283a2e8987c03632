"""Thousands of readers at little cost: each a socket whose frames are counted, and whose delays are taken by the way."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import msgspec

ACCOUNTS = tuple(f"desk-{number}" for number in range(500))
EVERY = "*"  # in place of an account
AT_ONCE = 200  # handshakes
PATIENCE = 120.0
STAMP = b'"event_id":"t/'


class Reader(asyncio.Protocol):
    """One connection with one subscription.

    Attributes:
        frames: how many events came.
        delays: seconds from the stamp of an event to here.
        live: set when all that was asked for has come.
        position: that of `live`.
        resumed: what `live` said.
    """

    def __init__(self, ask: bytes, account: str) -> None:
        self.frames = 0
        self.delays: list[float] = []
        self.live = asyncio.Event()
        self.position = ""
        self.resumed = False
        self.is_gone = False
        self._hello = _handshake(account) + _masked(ask)
        self._buffer = b""
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self._hello)
        self._hello = b""

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at = 0
        if not self._is_open:
            head, mark, buffer = buffer.partition(b"\r\n\r\n")
            if not mark:
                self._buffer = head
                return
            assert b" 101 " in head, head
            self._is_open = True
        size = len(buffer)
        while size - at >= 2:
            length, begin = buffer[at + 1], at + 2
            if length >= 126:
                begin += 2 if length == 126 else 8
                length = int.from_bytes(buffer[at + 2 : begin])
            if size - begin < length:
                break
            self._take(buffer, begin, begin + length)
            at = begin + length
        self._buffer = buffer[at:]

    def _take(self, buffer: bytes, begin: int, end: int) -> None:
        kind = buffer[begin + 9 : begin + 14]
        if kind in {b"event", b"state"}:
            self.frames += 1
            stamp = buffer.find(STAMP, begin, end)
            if stamp >= 0:
                stamp += len(STAMP)
                sent_at = int(buffer[stamp : buffer.index(b"/", stamp)])
                self.delays.append((time.monotonic_ns() - sent_at) / 1e9)
        elif kind == b'live"':
            frame = msgspec.json.decode(buffer[begin:end])
            self.position, self.resumed = frame["position"], frame["resumed"]
            self.frames = 0
            self.live.set()
        elif kind == b"error":
            raise AssertionError(buffer[begin:end])

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.is_gone = True

    def stall(self) -> None:
        """Read no more."""
        self.transport.pause_reading()


def ask_of(mode: str, account: str, resume: str | None = None) -> bytes:
    """A subscription."""
    ask = {"type": "subscribe", "id": "s", "mode": mode}
    ask |= {} if account == EVERY else {"accounts": [account]}
    return msgspec.json.encode(ask | ({} if resume is None else {"resume": resume}))


async def crowd(port: int, accounts: Sequence[str], mode: str = "events", resume: str | None = None) -> list[Reader]:
    """A reader for each of these, live."""
    slots = asyncio.Semaphore(AT_ONCE)
    loop = asyncio.get_running_loop()

    async def connect(account: str) -> Reader:
        async with slots:
            reader = Reader(ask_of(mode, account, resume), account)
            await loop.create_connection(lambda: reader, "127.0.0.1", port)
            if resume is None:
                await reader.live.wait()
        return reader

    async with asyncio.timeout(PATIENCE):
        readers = await asyncio.gather(*map(connect, accounts))
        await asyncio.gather(*(reader.live.wait() for reader in readers))
    return readers


async def leave(readers: Sequence[Reader]) -> None:
    """Cut them all, and wait until the connections are gone."""
    for reader in readers:
        reader.transport.abort()
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while not all(reader.is_gone for reader in readers):  # noqa: ASYNC110 - thousands tell one by one
                await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)  # the server notices


def _handshake(account: str) -> bytes:
    return (
        "GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer reader-token\r\n"
        f"X-Account: {account}\r\n\r\n"
    ).encode()


def _masked(payload: bytes) -> bytes:
    size = len(payload)
    head = bytes([0x81, 0x80 | size]) if size < 126 else bytes([0x81, 0x80 | 126]) + size.to_bytes(2)
    return head + bytes(4) + payload  # masked with zeros
