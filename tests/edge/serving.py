"""`leverage-gateway serve` as a process, for readers of any kind."""

import asyncio
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import ClientError, ClientSession

from schemas.topics import Topics
from tests.app.processes import toml
from tests.edge.rig import settings_of

PATIENCE = 60


class Serving:
    """A process that is ready.

    Attributes:
        url: where it listens.
        log: the file with all that it wrote.
    """

    def __init__(self, process: Process, url: str, log: Path) -> None:
        self._process = process
        self.url = url
        self.log = log

    @property
    def stream(self) -> str:
        """Where its WebSocket is."""
        return f"{self.url.replace('http', 'ws')}/v1/stream"

    @property
    def port(self) -> int:
        """The same."""
        return int(self.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        """Which process it is."""
        return self._process.pid

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def wait(self) -> int:
        """Its exit code."""
        return await self._process.wait()

    async def ready(self) -> None:
        """Wait until it has read the log."""
        async with asyncio.timeout(PATIENCE):
            while await status(f"{self.url}/readyz") != 200:
                assert self._process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.05)


@asynccontextmanager
async def serving(bootstrap: str, topics: Topics, folder: Path, **edge: Any) -> AsyncGenerator[Serving]:
    """Run one until the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    settings = settings_of(bootstrap, topics, folder, listen=listen, **edge)
    tables = msgspec.to_builtins(settings)
    path = folder / "edge.toml"
    path.write_text(toml({"kafka": tables["kafka"], "edge": tables["edge"], "logging": {"format": "json"}}))
    with (folder / "log").open("wb") as log:
        arguments = ("-m", "gateway", "serve", "--config", str(path))
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=log, stderr=log)
    try:
        served = Serving(process, f"http://{listen}", folder / "log")
        await served.ready()
        yield served
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def status(url: str) -> int | None:
    """The status that a page answers with; None where nobody answers."""
    try:
        async with ClientSession() as session, session.get(url) as response:
            return response.status
    except ClientError:
        return None
