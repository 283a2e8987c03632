# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportAttributeAccessIssue=false
# ruff: noqa: SLF001 - aiokafka has no other way to the connections of its clients
"""Stopping aiokafka's clients in bounded time.

Over TLS a transport may wait half a minute for the broker's goodbye, and a producer in a fatal state waits for ever.
"""

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

GOODBYE = 0.5  # seconds


async def stop_client(client: AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient) -> None:
    """Stop a client; what does not end by itself has its connections cut. Flush a producer before."""
    network: Any = client.client if isinstance(client, AIOKafkaProducer) else client._client
    transports = [one._writer.transport for one in network._conns.values() if one._writer is not None]
    stop = client.close if isinstance(client, AIOKafkaAdminClient) else client.stop
    stopping = asyncio.ensure_future(stop())
    await asyncio.wait([stopping], timeout=GOODBYE)
    for transport in transports:
        transport.abort()
    await asyncio.wait([stopping], timeout=GOODBYE)
    if not stopping.done():
        stopping.cancel()
        await network.close()
    elif not stopping.cancelled():
        stopping.exception()
