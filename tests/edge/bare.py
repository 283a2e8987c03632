"""A bare loop that writes prepared frames: what `ratios` compares the edge with; `python -m tests.edge.bare PORT`.

It takes the same handshakes, and reads from its input what to do: `RATE SECONDS`, so many events a second, each to who
asked for its account or for all. It says `done` when the seconds are over.
"""

import asyncio
import sys

import uvloop

from gateway.edge.frames import EventFrame, Live
from gateway.edge.wire import JsonWire
from schemas import encode
from tests.edge.crowd import ACCOUNTS, EVERY
from tests.edge.rig import changed

ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
POSITION = "x" * 60  # as long as the edge's


class Served(asyncio.Protocol):
    """One connection."""

    def __init__(self, members: dict[str, list[asyncio.Transport]]) -> None:
        self._members = members
        self._head = b""
        self._account: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._account is None:
            self._head += data
            if b"\r\n\r\n" in self._head:
                self._account = self._head.partition(b"X-Account: ")[2].partition(b"\r\n")[0].decode()
                self._members[self._account].append(self._transport)
                self._transport.write(ANSWER + JsonWire().frame(Live(id="s", position=POSITION, resumed=False)))

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._account is not None:
            self._members[self._account].remove(self._transport)


async def write(members: dict[str, list[asyncio.Transport]], rate: float, seconds: float) -> None:
    """Write a frame to whom it concerns, so often."""
    wire = JsonWire()
    frames = {
        account: wire.frame(
            EventFrame(id="s", event=wire.event(encode(changed(0, account=account))), position=POSITION)
        )
        for account in ACCOUNTS
    }
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begin + number / rate - loop.time()))
        account = ACCOUNTS[number % len(ACCOUNTS)]
        frame = frames[account]
        for transport in members[account]:
            transport.write(frame)
        for transport in members[EVERY]:
            transport.write(frame)


async def main(port: int) -> None:
    """Serve until the input ends."""
    members: dict[str, list[asyncio.Transport]] = {account: [] for account in (*ACCOUNTS, EVERY)}
    server = await asyncio.get_running_loop().create_server(lambda: Served(members), "127.0.0.1", port, backlog=5_000)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        rate, seconds = map(float, line.split())
        await write(members, rate, seconds)
        print("done", flush=True)
    server.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
