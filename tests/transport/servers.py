"""Servers of one misdeed each, on a free loopback port: what a venue's host, its proxy or the way to it can do."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Deed = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Where it is, and each request's head and body as bytes, in order of arrival."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[bytes] = []
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        """One whole request, noted down."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = await reader.readexactly(int(length[0].split(b":")[1])) if length else b""
        self.requests.append(head + body)
        return head + body


@asynccontextmanager
async def serving(deed: Callable[[Server], Deed], tls: ssl.SSLContext | None = None) -> AsyncGenerator[Server]:
    """Serve until the block ends, then cut all connections."""
    server = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await deed(server)(reader, writer)
        writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answering(*answers: bytes) -> Callable[[Server], Deed]:
    """Answer the requests of a connection with these bytes one after the other, then close it."""

    def make(server: Server) -> Deed:
        async def deed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            for answer in answers:
                await server.read(reader)
                writer.write(answer)
                await writer.drain()

        return deed

    return make


def resetting(*answers: bytes) -> Callable[[Server], Deed]:
    """Answer as told, then read one more request and reset the connection without a word."""

    def make(server: Server) -> Deed:
        async def deed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await answering(*answers)(server)(reader, writer)
            await server.read(reader)
            writer.transport.abort()

        return deed

    return make


def silent(server: Server) -> Deed:
    """Accept, read, and never answer: a black hole."""

    async def deed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read(reader)
        await reader.read()

    return deed


def never_ending(begin: bytes) -> Callable[[Server], Deed]:
    """Begin an answer, and leave the connection open."""

    def make(server: Server) -> Deed:
        async def deed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.read(reader)
            writer.write(begin)
            await reader.read()

        return deed

    return make


def babbling(_: Server) -> Deed:
    """Say something that is not TLS, before being asked."""

    async def deed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read()

    return deed


def tunnelling(
    target: Server, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"
) -> Callable[[Server], Deed]:
    """Be a proxy: answer a CONNECT with this, and carry bytes to and fro, wherever it was to."""

    def make(server: Server) -> Deed:
        async def deed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await server.read(reader)
            writer.write(answer)
            there, to = await asyncio.open_connection("127.0.0.1", target.port)
            await asyncio.gather(_carry(reader, to), _carry(there, writer))

        return deed

    return make


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


def http(status: int = 200, body: bytes = b"{}", **headers: str) -> bytes:
    """One whole HTTP/1.1 answer."""
    lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
