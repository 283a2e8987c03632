"""What the edge costs beside a bare loop that writes prepared frames: `python -m tests.edge.ratios`.

One broker, one `serve`, one bare loop (`bare`), the same connections on both in turn. Needs two cores and nothing else
on them: what is compared is the processor time and the memory of two processes of one run.
"""

import argparse
import asyncio
import socket
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import aiohttp
import uvloop
from aiokafka import AIOKafkaProducer
from msgspec.structs import replace

from deploy.kafka.broker import Cluster
from gateway.kafka.topics import create_topics
from gateway.settings.tree import KafkaSettings, Settings
from schemas import encode
from schemas.topics import Topics
from tests.app.processes import ROOT
from tests.edge.crowd import ACCOUNTS, EVERY, crowd, leave
from tests.edge.rig import changed
from tests.edge.serving import Serving, serving

TICKS = 100  # of a processor's time in /proc, a second
MANY = 5_000
RATE = 200.0
POSITION_AGE = 60.0  # seconds
BEYOND_MEMORY = 40_000  # events, more than an edge reads when it starts


class Cost:
    """What one process has used."""

    def __init__(self, pid: int) -> None:
        self._proc = Path("/proc") / str(pid)

    @property
    def seconds(self) -> float:
        """Of a processor."""
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def kib(self) -> int:
        """Of memory that is its own now."""
        lines = (self._proc / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


class Side:
    """A server and how it is made to write."""

    def __init__(
        self, name: str, port: int, cost: Cost, play: Callable[[float, float], Coroutine[None, None, None]]
    ) -> None:
        self.name, self.port, self.cost, self._play = name, port, cost, play

    async def per_frame(self, accounts: Sequence[str], rate: float, seconds: float) -> float:
        """Microseconds of a processor for each frame that its readers got."""
        readers = await crowd(self.port, accounts)
        await asyncio.sleep(1.0)
        begin, before = self.cost.seconds, sum(reader.frames for reader in readers)
        await self._play(rate, seconds)
        await asyncio.sleep(0.5)
        used, frames = self.cost.seconds - begin, sum(reader.frames for reader in readers) - before
        await leave(readers)
        print(f"    {self.name}: {frames} frames, {used:.2f} s, {used / frames * 1e6:.1f} us a frame", flush=True)
        return used / frames * 1e6

    async def per_reader(self, count: int) -> float:
        """KiB for each reader in mode `state`."""
        warm = await crowd(self.port, [EVERY] * 50, "state")
        before = self.cost.kib
        readers = await crowd(self.port, [EVERY] * count, "state")
        await asyncio.sleep(2.0)
        each = (self.cost.kib - before) / count
        await leave([*readers, *warm])
        print(f"    {self.name}: {each:.1f} KiB a reader", flush=True)
        return each


class Writer:
    """Who puts events on the topic."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
        self._topic = topics.events

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._producer.stop()

    async def play(self, rate: float, seconds: float) -> None:
        """Write so many a second, each account in turn, stamped with the time."""
        begin = time.monotonic()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
            await self._send(number)
        await self._producer.flush()

    async def pour(self, count: int) -> None:
        """Write so many as fast as it goes."""
        for number in range(count):
            await self._send(number)
        await self._producer.flush()

    async def _send(self, number: int) -> None:
        event = changed(number, account=ACCOUNTS[number % len(ACCOUNTS)])
        event = replace(event, event_id=f"t/{time.monotonic_ns()}/{number}")
        await self._producer.send(self._topic, encode(event), key=event.key.encode())


async def stalled(edge: Side, writer: Writer, seconds: float, readers_count: int = 200) -> float:
    """The p99 of those who read while a tenth does not, over that where all do."""
    found: list[float] = []
    for stalls in (0, readers_count // 10):
        readers = await crowd(edge.port, [EVERY] * readers_count)
        for reader in readers[:stalls]:
            reader.stall()
        await writer.play(RATE / 2, seconds)
        delays = sorted(delay for reader in readers[stalls:] for delay in reader.delays)
        await leave(readers)
        found.append(delays[int(len(delays) * 0.99)])
        print(f"    {stalls} of {readers_count} stalled: p99 of the others {found[-1] * 1000:.1f} ms", flush=True)
    return found[1] / found[0]


async def reads(url: str) -> float:
    """How often the edge has read older events from Kafka."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("gateway_edge_read_back_total "))


async def position_at(port: int) -> str:
    """Where a reader of everything stands."""
    (reader,) = await crowd(port, [EVERY])
    await leave([reader])
    return reader.position


async def coming_back(served: Serving, position: str) -> None:
    """Let all come back at once with a position, and count what is read from Kafka for them."""
    before, began = await reads(served.url), time.monotonic()
    accounts = [ACCOUNTS[number % len(ACCOUNTS)] for number in range(MANY)]
    readers = await crowd(served.port, accounts, resume=position)
    seconds, more = time.monotonic() - began, await reads(served.url) - before
    resumed = sum(reader.resumed for reader in readers)
    print(f"  {resumed} of {MANY} resumed in {seconds:.1f} s, {more:.0f} reads of Kafka; goal: one a range", flush=True)
    await leave(readers)


@asynccontextmanager
async def bare_loop() -> AsyncGenerator[Side]:
    """The bare loop as a process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "tests.edge.bare", str(port))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe)

    async def play(rate: float, seconds: float) -> None:
        process.stdin.write(f"{rate} {seconds}\n".encode())
        assert await process.stdout.readline() == b"done\n"

    try:
        assert await process.stdout.readline() == b"ready\n"
        yield Side("bare", port, Cost(process.pid), play)
    finally:
        process.kill()
        await process.wait()


async def run(bootstrap: str, folder: Path, seconds: float) -> None:
    """Measure everything once."""
    kafka = KafkaSettings(bootstrap_servers=bootstrap, partitions=4)
    await create_topics(Settings(kafka=kafka), base_dir=folder)
    topics = Topics()
    async with Writer(bootstrap, topics) as writer, bare_loop() as bare:
        await writer.pour(len(ACCOUNTS))
        async with edge_of(bootstrap, topics, folder / "first") as served:
            await measure(served, bare, writer, seconds)
            position = await position_at(served.port)
            await writer.pour(BEYOND_MEMORY)
        print(f"{MANY} come back at once, {BEYOND_MEMORY} events later, to an edge that has just started", flush=True)
        async with edge_of(bootstrap, topics, folder / "second") as served:
            await coming_back(served, position)


@asynccontextmanager
async def edge_of(bootstrap: str, topics: Topics, folder: Path) -> AsyncGenerator[Serving]:
    """`serve`, as it is by default, but for a bound that all readers' one token would meet."""
    folder.mkdir()  # noqa: ASYNC240 - nothing runs yet
    async with serving(bootstrap, topics, folder, heartbeat=5.0, max_rate_per_token=1_000_000) as served:
        yield served


async def measure(served: Serving, bare: Side, writer: Writer, seconds: float) -> None:
    """Each figure, with its goal."""
    edge = Side("edge", served.port, Cost(served.pid), writer.play)
    print(f"{MANY} readers in mode state, memory each", flush=True)
    more = await edge.per_reader(MANY) - await bare.per_reader(MANY)
    print(f"  {more:.1f} KiB beyond the bare loop's; goal: 30 at most")
    print(f"{MANY} readers, each of one of {len(ACCOUNTS)} accounts, {RATE:.0f} events/s in all", flush=True)
    accounts = [ACCOUNTS[number % len(ACCOUNTS)] for number in range(MANY)]
    ratio = await edge.per_frame(accounts, RATE, seconds) / await bare.per_frame(accounts, RATE, seconds)
    print(f"  {ratio:.2f} times; goal: 1.5 at most")
    print(f"200 readers of all, {RATE:.0f} events/s", flush=True)
    ratio = await edge.per_frame([EVERY] * 200, RATE, seconds) / await bare.per_frame([EVERY] * 200, RATE, seconds)
    print(f"  {ratio:.2f} times; goal: 1.3 at most")
    print(f"200 readers of all, {RATE / 2:.0f} events/s, a tenth stalled", flush=True)
    print(f"  {await stalled(edge, writer, seconds):.2f} times; goal: 1.2 at most")
    print(f"{MANY} come back at once, their positions {POSITION_AGE:.0f} s old at {RATE:.0f} events/s", flush=True)
    position = await position_at(served.port)
    await writer.play(RATE, POSITION_AGE)
    await coming_back(served, position)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.edge.ratios", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement")
    seconds: float = parser.parse_args().seconds
    with Cluster() as cluster, TemporaryDirectory() as folder:
        uvloop.run(run(cluster.bootstrap_servers, Path(folder), seconds))


if __name__ == "__main__":
    main()
