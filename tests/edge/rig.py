"""An edge on a real broker, with tokens, and a gateway that says yes to everything up to 125."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
from aiohttp import ClientSession
from aiokafka import AIOKafkaProducer

from gateway.edge.app import Edge
from gateway.settings.tree import EdgeSettings, EdgeTokenSettings, KafkaSettings, Settings
from schemas import BinanceUsdm, LeverageChanged, Timestamp, encode
from schemas.topics import Topics
from tests.client.echo import Echo

PATIENCE = 60.0
TOKENS = {
    "desk": (("*",), ("read", "send")),
    "reader": (("*",), ("read",)),
    "one": (("desk-1",), ("read", "send")),
    "ops": (("*",), ("read", "send", "redrive")),
}


def settings_of(bootstrap: str, topics: Topics, folder: Path, **edge: Any) -> Settings:
    """Settings of an edge with all tokens; a token's text is its name and `-token`."""
    tokens: dict[str, EdgeTokenSettings] = {}
    for name, (accounts, verbs) in TOKENS.items():
        (folder / name).write_text(f"{name}-token\n")
        tokens[name] = EdgeTokenSettings(token_file=name, accounts=accounts, verbs=verbs)
    edge = {"listen": "127.0.0.1:0", "heartbeat": 0.5, "tokens": tokens, **edge}
    kafka = KafkaSettings(bootstrap_servers=bootstrap, topics=topics, partitions=4)
    return Settings(kafka=kafka, edge=EdgeSettings(**edge))


@asynccontextmanager
async def edge_of(settings: Settings, folder: Path) -> AsyncGenerator[Edge]:
    """A running edge that has read the log."""
    edge, stop = Edge(settings, base_dir=folder), asyncio.Event()
    running = asyncio.create_task(edge.run(stop))
    try:
        await until(lambda: running.done() or edge.ready()[0])
        yield edge
    finally:
        stop.set()
        await asyncio.wait_for(running, PATIENCE)


@asynccontextmanager
async def answering(bootstrap: str, topics: Topics) -> AsyncGenerator[Echo]:
    """The gateway's part."""
    echo = Echo(bootstrap, topics)
    task = asyncio.create_task(echo.run())
    try:
        yield echo
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def caller(url: str, name: str | None = "desk", **headers: str) -> ClientSession:
    """A client that brings a token."""
    bearer = {} if name is None else {"Authorization": f"Bearer {name}-token"}
    return ClientSession(url, headers=bearer | headers)


def command(leverage: str = "20", *, account: str = "desk-1", symbol: str = "BTCUSDT", **fields: Any) -> dict[str, Any]:
    """A command's JSON, with an id of its own."""
    target = {"venue": "binance_usdm", "symbol": symbol}
    about = {"type": "SetLeverage", "command_id": uuid4().hex, "account": account, "leverage": leverage}
    return about | {"target": target} | fields


async def write_events(bootstrap: str, topics: Topics, count: int, *, accounts: int = 1) -> list[dict[str, Any]]:
    """Events of nobody's commands, straight to their topic; as JSON."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        written: list[dict[str, Any]] = []
        for number in range(count):
            event = changed(number, account=f"desk-{number % accounts + 1}")
            written.append(msgspec.json.decode(encode(event)))
            await producer.send(topics.events, encode(event), key=event.key.encode())
        await producer.flush()
        return written
    finally:
        await producer.stop()


def changed(number: int, *, account: str = "desk-1") -> LeverageChanged:
    """An event of its own."""
    return LeverageChanged(
        event_id=f"made/{uuid4().hex}",
        command_id=f"made-{number}",
        account=account,
        target=BinanceUsdm(symbol="BTCUSDT"),
        lane="BTCUSDT",
        issuer=None,
        redrive_of=None,
        attempts=1,
        issued_at=None,
        occurred_at=Timestamp.parse("2026-11-26T12:00:00Z"),
        leverage=Decimal(number % 20 + 1),
        requested_leverage=Decimal(number % 20 + 1),
        certainty="confirmed",
    )


async def until(is_so: Any, patience: float = PATIENCE) -> None:
    """Wait for what nothing tells."""
    async with asyncio.timeout(patience):
        while not is_so():  # noqa: ASYNC110 - a real broker's time is nobody's event
            await asyncio.sleep(0.02)
