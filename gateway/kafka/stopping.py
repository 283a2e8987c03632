# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportAttributeAccessIssue=false
# ruff: noqa: SLF001 - aiokafka has no other way to the connections of its clients
"""Stopping aiokafka's clients in bounded time.

Over TLS a transport waits half a minute for the broker's goodbye, and a producer in a fatal state waits for ever.
"""

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

PATIENCE = 0.5  # seconds


async def stop_client(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Stop a client; what does not end by itself has its connections cut."""
    network: Any = client.client if isinstance(client, AIOKafkaProducer) else client._client
    transports = [one._writer.transport for one in network._conns.values() if one._writer is not None]
    stopping = asyncio.ensure_future(client.stop())
    await asyncio.wait([stopping], timeout=PATIENCE)
    for transport in transports:
        transport.abort()
    await asyncio.wait([stopping], timeout=PATIENCE)
    if not stopping.done():
        stopping.cancel()
        await network.close()
    elif not stopping.cancelled():
        stopping.exception()
