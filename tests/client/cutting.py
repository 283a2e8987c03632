"""A wire between a client and an edge that can stop to carry anything, and says so to nobody."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress


class Wire:
    """Carries bytes both ways until it is `stopped`."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._carries = asyncio.Event()
        self._carries.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    def stop(self) -> None:
        """Carry nothing any more; the connections stay open."""
        self._carries.clear()

    def go_on(self) -> None:
        """Carry again, what was held too."""
        self._carries.set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a client's connection."""
        their_reader, their_writer = await asyncio.open_connection(*self._to)
        ways = (self._carry(reader, their_writer), self._carry(their_reader, writer))
        self._tasks |= {asyncio.create_task(way) for way in ways}

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                while data := await reader.read(65_536):
                    await self._carries.wait()
                    writer.write(data)
        finally:
            writer.close()

    async def close(self) -> None:
        """Cut what is open."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def wire_to(url: str) -> AsyncGenerator[Wire]:
    """A wire to the server at `http://host:port`."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    wire = Wire(host, int(port))
    server = await asyncio.start_server(wire.take, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        await wire.close()
