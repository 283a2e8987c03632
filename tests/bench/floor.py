"""The floor: what the libraries alone cost, with no promise kept. `python -m tests.bench.floor`, started by `table`.

aiokafka, msgspec, hmac and aiohttp's session in a bare loop: no order, no limits, no retries, nothing remembered. With
`--transactions` the answers are committed in groups, every 10 ms. With `--least` too, but by the gateway's own cheap ways:
calls past the session, a state record beside each event, whole batches. Nothing that stands on these libraries and writes
what the contract asks costs less.
"""

import argparse
import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from gateway.kafka.packing import pack
from gateway.ownership.ports import OutRecord
from gateway.transport.by_wire import WireExchange
from gateway.transport.messages import HttpRequest
from schemas import LeverageChanged, SetLeverage, Timestamp, decode_command, encode
from schemas.events import fields_of_answer

CONCURRENCY = 64
GROUP_COMMIT = 0.01  # seconds
SECRET = b"secret"
HEADERS = (("content-type", b"application/json"), ("command-offset", b"123456"), ("gateway-group", b"least"))


class Answer(msgspec.Struct):
    """What the venue says."""

    leverage: int


class Floor:
    """One bare loop."""

    def __init__(self, producer: Any, session: aiohttp.ClientSession, url: str, names: Mapping[str, str]) -> None:
        self._producer = producer
        self._session = session
        self._url = url
        self._names = names
        self._decoder = msgspec.json.Decoder(Answer)
        self.queue = asyncio.Queue[Any](maxsize=2000)
        self.done: list[tuple[bytes, bytes, int]] = []

    async def work(self) -> None:
        """Call for one command after the other."""
        while True:
            record = await self.queue.get()
            command = decode_command(record.value)
            event = await self.event(command)
            await self.tell(record.key, encode(event), record.partition)

    async def ask(self, symbol: str, leverage: Decimal) -> int:
        """Set it at the venue; what that says it is now."""
        query = f"symbol={symbol}&leverage={leverage}&timestamp={int(time.time() * 1000)}"
        signature = hmac.new(SECRET, query.encode(), hashlib.sha256).hexdigest()
        url = f"{self._url}/fapi/v1/leverage?{query}&signature={signature}"
        async with self._session.post(url, headers={"X-MBX-APIKEY": "key"}) as response:
            return self._decoder.decode(await response.read()).leverage

    async def event(self, command: SetLeverage) -> LeverageChanged:
        """Carry a command out."""
        symbol = command.target.symbol  # pyright: ignore[reportAttributeAccessIssue] - one venue is measured
        leverage = await self.ask(symbol, command.leverage)
        answered = fields_of_answer(
            command, event_id=command.command_id, attempts=1, occurred_at=Timestamp.from_epoch(time.time())
        )
        return LeverageChanged(
            **answered,
            leverage=Decimal(leverage),
            requested_leverage=command.leverage,
            certainty="confirmed",
        )

    async def tell(self, key: bytes, value: bytes, partition: int) -> None:
        """Publish, as the libraries do best."""
        await self._producer.send(self._names["events"], value, key=key, partition=partition)


class Grouped(Floor):
    """The same, with the answers of 10 ms in one transaction."""

    async def tell(self, key: bytes, value: bytes, partition: int) -> None:
        self.done.append((key, value, partition))

    async def commit(self) -> None:
        """Commit what has come, for ever."""
        while True:
            await asyncio.sleep(GROUP_COMMIT)
            if self.done:
                done, self.done = self.done, []
                async with self._producer.transaction():
                    await self.write(done)

    async def write(self, done: Sequence[tuple[bytes, bytes, int]]) -> None:
        """Publish all of a transaction."""
        for key, value, partition in done:
            await self._producer.send(self._names["events"], value, key=key, partition=partition)


class Least(Grouped):
    """The same by what the gateway is made of, and with all it writes."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._wire = WireExchange(self._url)
        self._hash = hmac.new(SECRET, digestmod=hashlib.sha256)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0)

    async def ask(self, symbol: str, leverage: Decimal) -> int:
        query = f"symbol={symbol}&leverage={leverage}&timestamp={int(time.time() * 1000)}"
        digest = self._hash.copy()
        digest.update(query.encode())
        target = f"/fapi/v1/leverage?{query}&signature={digest.hexdigest()}"
        request = HttpRequest(method="POST", target=target, headers={"X-MBX-APIKEY": "key"})
        response = await self._wire.begin(request, self._timeout)
        body = await response.content.read()
        response.close()
        return self._decoder.decode(body).leverage

    async def write(self, done: Sequence[tuple[bytes, bytes, int]]) -> None:
        by_partition: dict[int, list[OutRecord]] = {}
        for key, value, partition in done:
            by_partition.setdefault(partition, []).extend(
                OutRecord(topic, key, value, HEADERS) for topic in ("events", "state")
            )
        for partition, records in by_partition.items():
            for packed in pack(self._producer.create_batch, records):
                await self._producer.send_batch(packed.builder, self._names[packed.topic], partition=partition)


@asynccontextmanager
async def started(client: Any) -> AsyncGenerator[Any]:
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def run(bootstrap: str, commands: str, names: Mapping[str, str], url: str, kind: type[Floor]) -> None:
    """Answer everything, until killed."""
    transactional = {"transactional_id": f"floor-{commands}"} if kind is not Floor else {}
    consumer = AIOKafkaConsumer(
        commands, bootstrap_servers=bootstrap, group_id=f"floor-{commands}", auto_offset_reset="earliest"
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=2, **transactional)
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        started(consumer),
        started(producer),
        aiohttp.ClientSession(connector=connector) as session,
        asyncio.TaskGroup() as tasks,
    ):
        floor = kind(producer, session, url, names)
        if isinstance(floor, Grouped):
            tasks.create_task(floor.commit())
        for _ in range(CONCURRENCY):
            tasks.create_task(floor.work())
        print("ready", flush=True)
        async for record in consumer:
            await floor.queue.put(record)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "commands", "events", "url"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--state")
    parser.add_argument("--transactions", dest="kind", action="store_const", const=Grouped, default=Floor)
    parser.add_argument("--least", dest="kind", action="store_const", const=Least)
    given = parser.parse_args()
    topics = {"events": given.events, "state": given.state}
    uvloop.run(run(given.bootstrap, given.commands, topics, given.url, given.kind))
