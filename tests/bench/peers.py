# pyright: basic, reportMissingImports=false
"""What others would do the same with: `python -m tests.bench.peers NAME`, started by `table` in an environment of its own.

ccxt's and python-binance's async clients in the floor's loop, in place of its session; FastStream with aiohttp. None
keeps a lane's order, a limit or a promise. Their environment is pinned by `peers.lock`; the product knows none of them.
"""

import argparse
import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from schemas import decode_command, encode
from tests.bench.floor import CONCURRENCY, SECRET, Floor, started

Ask = Callable[[str, Decimal], Any]


@asynccontextmanager
async def ccxt(url: str) -> AsyncGenerator[Ask]:
    """ccxt: its implicit method of the endpoint, without its own limiter."""
    import ccxt.async_support as library  # noqa: PLC0415 - each process has one of them

    exchange = library.binanceusdm({"apiKey": "key", "secret": SECRET.decode(), "enableRateLimit": False})
    exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], f"{url}/fapi/v1")

    async def ask(symbol: str, leverage: Decimal) -> int:
        answer = await exchange.fapiPrivatePostLeverage({"symbol": symbol, "leverage": int(leverage)})
        return int(answer["leverage"])

    try:
        yield ask
    finally:
        await exchange.close()


@asynccontextmanager
async def python_binance(url: str) -> AsyncGenerator[Ask]:
    """python-binance: its futures method."""
    from binance import AsyncClient  # noqa: PLC0415 - as above

    client = AsyncClient("key", SECRET.decode())
    client.FUTURES_URL = f"{url}/fapi"

    async def ask(symbol: str, leverage: Decimal) -> int:
        return int((await client.futures_change_leverage(symbol=symbol, leverage=int(leverage)))["leverage"])

    try:
        yield ask
    finally:
        await client.close_connection()


class Client(Floor):
    """The floor's loop around somebody's client."""

    def __init__(self, producer: Any, ask: Ask, events: str) -> None:
        super().__init__(producer, None, "", events)  # pyright: ignore[reportArgumentType] - it needs no session
        self._ask = ask

    async def ask(self, symbol: str, leverage: Decimal) -> int:
        return await self._ask(symbol, leverage)


async def loop(client: Callable[[str], AbstractAsyncContextManager[Ask]], given: argparse.Namespace) -> None:
    """Answer everything, until killed."""
    consumer = AIOKafkaConsumer(
        given.commands,
        bootstrap_servers=given.bootstrap,
        group_id=f"peer-{given.commands}",
        auto_offset_reset="earliest",
    )
    producer = AIOKafkaProducer(bootstrap_servers=given.bootstrap, linger_ms=2)
    async with (
        started(consumer),
        started(producer),
        client(given.url) as ask,
        asyncio.TaskGroup() as tasks,
    ):
        peer = Client(producer, ask, given.events)
        for _ in range(CONCURRENCY):
            tasks.create_task(peer.work())
        async for record in consumer:
            await peer.queue.put(record)


async def faststream(given: argparse.Namespace) -> None:
    """FastStream: a subscriber with as many workers, and its own publisher."""
    from faststream import FastStream  # noqa: PLC0415 - as above
    from faststream.kafka import KafkaBroker, KafkaMessage  # noqa: PLC0415 - as above

    broker = KafkaBroker(given.bootstrap, linger_ms=2)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        floor = Floor(None, session, given.url, given.events)

        @broker.subscriber(
            given.commands,
            group_id=f"peer-{given.commands}",
            auto_offset_reset="earliest",
            max_workers=CONCURRENCY,
            decoder=lambda message: message.body,
        )
        async def carry_out(body: bytes, message: KafkaMessage) -> None:
            event = await floor.event(decode_command(body))
            raw: Any = message.raw_message
            await broker.publish(encode(event), given.events, key=raw.key, partition=raw.partition, no_confirm=True)

        await FastStream(broker).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=("ccxt", "python-binance", "faststream"))
    for option in ("bootstrap", "commands", "events", "url"):
        parser.add_argument(f"--{option}", required=True)
    options = parser.parse_args()
    if options.name == "faststream":
        uvloop.run(faststream(options))
    else:
        uvloop.run(loop(ccxt if options.name == "ccxt" else python_binance, options))
