"""Readers cut at random under load, half-open ones too, and edges killed: `python -m tests.edge.cuts --cuts 200 --kills 20`.

Two edges on one broker, a writer of transactions (some of them aborted), readers of both kinds. At the end every reader
has exactly the events of the topic that it asked for, each partition in order, and no reader was ever told of a gap.
"""

import argparse
import asyncio
import os
import random
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import websockets
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from deploy.kafka.broker import Cluster
from gateway.kafka.topics import create_topics
from gateway.settings.tree import KafkaSettings, Settings
from schemas import encode
from schemas.topics import Topics
from tests.app.processes import ROOT, toml
from tests.edge.rig import changed, settings_of, until

ACCOUNTS = 20
ASKS: tuple[dict[str, Any], ...] = (
    {"mode": "events"},
    {"mode": "events"},
    {"mode": "events", "max_delay_ms": 100},
    {"mode": "events", "accounts": ["desk-1", "desk-2"]},
    {"mode": "events", "accounts": ["desk-7"]},
    {"mode": "state"},
)


class EdgeProcess:
    """`serve` as a process that can be killed and started again."""

    def __init__(self, config: Path, port: int) -> None:
        self.url = f"127.0.0.1:{port}"
        self._config = config
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        arguments = ("-m", "gateway", "serve", "--config", str(self._config))
        with self._config.with_suffix(".log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, cwd=ROOT, stdout=log, stderr=log, env=os.environ
            )
        async with aiohttp.ClientSession() as session, asyncio.timeout(60):
            while True:
                with suppress(aiohttp.ClientError):
                    async with session.get(f"http://{self.url}/readyz") as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """kill -9."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


class Reader:
    """One subscription that is cut again and again, and goes on with the last position it has."""

    def __init__(self, number: int, edges: list[EdgeProcess], luck: random.Random, how: str) -> None:
        self.ask = ASKS[number % len(ASKS)]
        self.how = how
        self.events: list[dict[str, Any]] = []
        self.snapshots = 0
        self.resumes = 0
        self.cuts = 0
        self.position: str | None = None
        self.is_done = False
        self._edges = edges
        self._luck = luck
        self._held: list[Any] = []  # half-open ones

    async def run(self) -> None:
        """Read until told that it is done."""
        while not self.is_done:
            lasts = self._luck.expovariate(1 / 2.0) if not self.is_done else 60.0
            try:
                async with asyncio.timeout(lasts):
                    await (self._stream() if self.how != "sse" else self._sse())
            except (
                TimeoutError,
                OSError,
                aiohttp.ClientError,
                websockets.WebSocketException,
                asyncio.IncompleteReadError,
            ):
                self.cuts += 1
                await asyncio.sleep(self._luck.random() * 0.2)
        for held in self._held:
            held.close()

    def take(self, frame: dict[str, Any]) -> None:
        """Take a frame: the event and its position are kept together, or neither."""
        if frame["type"] == "error":
            raise AssertionError(frame)
        self.snapshots += frame["type"] == "snapshot"
        if frame["type"] == "live":
            self.resumes += frame["resumed"]
        if frame["type"] in {"event", "state"}:
            self.events.append(frame["event"])
        self.position = frame.get("position") or self.position

    async def _stream(self) -> None:
        host, _, port = self._luck.choice(self._edges).url.partition(":")
        plain = socket.create_connection((host, int(port)), timeout=2)
        is_packed = self.how == "msgpack"
        connection = await websockets.connect(
            f"ws://{host}:{port}/v1/stream",
            sock=plain,
            additional_headers={"Authorization": "Bearer reader-token"},
            subprotocols=["leverage.v1.msgpack" if is_packed else "leverage.v1.json"],  # type: ignore[list-item]
            open_timeout=5,
            close_timeout=0.1,
        )
        ask = {"type": "subscribe", "id": "s", **self.ask} | ({"resume": self.position} if self.position else {})
        try:
            await connection.send(msgspec.msgpack.encode(ask) if is_packed else msgspec.json.encode(ask).decode())
            while True:
                data = await connection.recv()
                self.take(msgspec.json.decode(data) if isinstance(data, str) else msgspec.msgpack.decode(data))
        finally:
            if self._luck.random() < 0.3 and len(self._held) < 30:
                connection.transport.pause_reading()  # half-open: nobody reads it, nobody closes it
                self._held.append(connection.transport)
            else:
                connection.transport.abort()

    async def _sse(self) -> None:
        query = [("mode", self.ask["mode"]), *(("account", one) for one in self.ask.get("accounts", ()))]
        headers = {"Authorization": "Bearer reader-token"} | ({"Last-Event-ID": self.position} if self.position else {})
        url = f"http://{self._luck.choice(self._edges).url}/v1/events"
        async with aiohttp.ClientSession() as session, session.get(url, params=query, headers=headers) as response:
            while True:
                event = (await response.content.readuntil(b"\n\n")).decode()
                if not event.endswith("\n\n"):
                    raise ConnectionResetError("it ended in the middle")
                data = next(line for line in event.splitlines() if line.startswith("data: "))
                self.take(msgspec.json.decode(data.removeprefix("data: ")))


class Writer:
    """Writes events and state in transactions, some of which are aborted."""

    def __init__(self, bootstrap: str, topics: Topics, luck: random.Random) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._luck = luck
        self.written = 0
        self.is_done = False

    async def run(self) -> None:
        """Write until told that it is done."""
        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, transactional_id=f"writer-{uuid4().hex}")
        await producer.start()
        try:
            while not self.is_done:
                await self._transact(producer, self._luck.randrange(1, 12), aborts=self._luck.random() < 0.1)
                await asyncio.sleep(self._luck.random() * 0.05)
        finally:
            await producer.stop()

    async def _transact(self, producer: AIOKafkaProducer, count: int, *, aborts: bool) -> None:
        await producer.begin_transaction()
        for _ in range(count):
            event = changed(self.written, account=f"desk-{self._luck.randrange(ACCOUNTS)}")
            await producer.send(self._topics.events, encode(event), key=event.key.encode())
            await producer.send(self._topics.state, encode(event), key=event.state_key.encode())
            self.written += not aborts
        await (producer.abort_transaction() if aborts else producer.commit_transaction())


async def main(cuts: int, kills: int, seed: int) -> int:
    """Run it; 1 where a reader has not exactly what it should."""
    luck = random.Random(seed)
    cluster = Cluster()
    cluster.start()
    try:
        with TemporaryDirectory() as folder:
            return await _run(cluster.bootstrap_servers, Path(folder), cuts, kills, luck)
    finally:
        cluster.stop()


async def _run(bootstrap: str, folder: Path, cuts: int, kills: int, luck: random.Random) -> int:
    topics = Topics()
    kafka = KafkaSettings(bootstrap_servers=bootstrap, partitions=4)
    await create_topics(Settings(kafka=kafka), base_dir=folder)
    edges = [_edge(bootstrap, topics, folder, name) for name in ("a", "b")]
    for edge in edges:
        await edge.start()
    hows = ["json"] * 6 + ["msgpack"] * 3 + ["sse"] * 3
    readers = [Reader(number, edges, luck, how) for number, how in enumerate(hows)]
    writer = Writer(bootstrap, topics, luck)
    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(reader.run()) for reader in readers]
        await until(lambda: all(reader.position for reader in readers))
        writing = tasks.create_task(writer.run())
        await _disturb(edges, readers, cuts, kills, luck)
        writer.is_done = True
        await writing
        topic = await _topic(bootstrap, topics)
        await until(lambda: all(_has_all(reader, topic) for reader in readers), 120)
        for reader in readers:
            reader.is_done = True
        await asyncio.sleep(3.0)  # what comes twice comes now
        for task in running:
            task.cancel()
    for edge in edges:
        await edge.kill()
    wrong = [problem for reader in readers for problem in _problems(reader, topic)]
    print(
        f"{sum(map(len, topic.values()))} events in {time.monotonic() - began:.0f} s,"
        f" {sum(reader.cuts for reader in readers)} cuts, {kills} kills,"
        f" {sum(reader.resumes for reader in readers)} resumed, {sum(reader.snapshots for reader in readers)} snapshots"
        f" for {len(readers)} readers: {'; '.join(wrong) or 'each has exactly its events, in order'}"
    )
    return 1 if wrong else 0


async def _disturb(edges: list[EdgeProcess], readers: list[Reader], cuts: int, kills: int, luck: random.Random) -> None:
    killed = 0
    while killed < kills or sum(reader.cuts for reader in readers) < cuts:
        await asyncio.sleep(luck.uniform(1.0, 3.0))
        if killed < kills:
            edge = luck.choice(edges)
            await edge.kill()
            await edge.start()
            killed += 1


def _edge(bootstrap: str, topics: Topics, folder: Path, name: str) -> EdgeProcess:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = folder / name
    place.mkdir()
    tables = msgspec.to_builtins(settings_of(bootstrap, topics, place, listen=f"127.0.0.1:{port}", heartbeat=1.0))
    config = place / "edge.toml"
    config.write_text(toml({"kafka": tables["kafka"], "edge": tables["edge"], "logging": {"format": "json"}}))
    return EdgeProcess(config, port)


async def _topic(bootstrap: str, topics: Topics) -> dict[int, list[dict[str, Any]]]:
    """What a reader of Kafka sees, by partition."""
    consumer = AIOKafkaConsumer(
        topics.events, bootstrap_servers=bootstrap, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    await consumer.start()
    try:
        await asyncio.sleep(1.0)  # for the last marker
        ends = await consumer.end_offsets(consumer.assignment())
        found: dict[int, list[dict[str, Any]]] = {tp.partition: [] for tp in ends}
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                found[tp.partition] += [msgspec.json.decode(record.value) for record in records]
        return found
    finally:
        await consumer.stop()


def _wanted(reader: Reader, topic: dict[int, list[dict[str, Any]]]) -> dict[int, list[str]]:
    accounts = reader.ask.get("accounts")
    return {
        partition: [one["event_id"] for one in events if accounts is None or one["account"] in accounts]
        for partition, events in topic.items()
    }


def _has_all(reader: Reader, topic: dict[int, list[dict[str, Any]]]) -> bool:
    if reader.ask["mode"] == "state":
        return _newest(reader.events) == _newest([one for events in topic.values() for one in events])
    return len(reader.events) >= sum(map(len, _wanted(reader, topic).values()))


def _newest(events: list[dict[str, Any]]) -> dict[str, str]:
    return {one["account"]: one["event_id"] for one in events}


def _problems(reader: Reader, topic: dict[int, list[dict[str, Any]]]) -> list[str]:
    problems = [] if reader.snapshots == 1 else [f"{reader.how} {reader.ask} had {reader.snapshots} snapshots"]
    if reader.ask["mode"] == "state":
        return problems
    place = {one["event_id"]: partition for partition, events in topic.items() for one in events}
    got: dict[int, list[str]] = {partition: [] for partition in topic}
    for one in reader.events:
        got[place[one["event_id"]]].append(one["event_id"])
    for partition, wanted in _wanted(reader, topic).items():
        if got[partition] != wanted:
            problems.append(f"{reader.how} {reader.ask}: partition {partition}: {len(got[partition])} of {len(wanted)}")
    return problems


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.edge.cuts", description=__doc__)
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    sys.exit(asyncio.run(main(chosen.cuts, chosen.kills, chosen.seed)))
