# pyright: reportPrivateUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportAttributeAccessIssue=false
# ruff: noqa: SLF001 - aiokafka has no other way to the connections of its clients
"""Making, starting, reading with and stopping aiokafka's clients, in bounded time, and so that no connection is left.

Over TLS a transport may wait half a minute for the broker's goodbye, and a producer in a fatal state waits for ever.
A start that is cut off forgets the connection that it asks for the cluster by (it is found in the frames that were
left), and what is stopped while it connects anew keeps the new one.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from traceback import walk_tb
from types import MappingProxyType
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection

Client = AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient

GOODBYE = 0.5  # seconds
POLL_MS = 100  # a wait for records, before it is looked whether reading has come further without any


class KafkaClients:
    """Makes the clients of one process, each connected as it is known by then how to.

    The simulation has another one, whose clients reach a broker on paper.
    """

    def __init__(self, options: Mapping[str, Any], consumer_options: Mapping[str, Any] = MappingProxyType({})) -> None:
        """`options`: how to connect, read anew for each client; `consumer_options`: aiokafka's further ones."""
        self._options = options
        self._consumer_options = consumer_options

    def consumer(self, **more: Any) -> AIOKafkaConsumer:
        """Make a consumer; `more` is what it is to be beside connected."""
        return AIOKafkaConsumer(**{**self._options, **self._consumer_options, **more})

    def reader(self, *, auto_offset_reset: str = "earliest", **more: Any) -> AIOKafkaConsumer:
        """Make a consumer of no group, which sees what is committed."""
        return self.consumer(
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset=auto_offset_reset,
            isolation_level="read_committed",
            **more,
        )

    def producer(self, **more: Any) -> AIOKafkaProducer:
        """Make a producer."""
        return AIOKafkaProducer(**{**self._options, **more})

    async def start(self, client: Client) -> None:
        """As `start_client`."""
        await start_client(client)

    async def stop(self, client: Client) -> None:
        """As `stop_client`."""
        await stop_client(client)


async def start_client(client: Client) -> None:
    """Start a client. Stop it after a failure too."""
    try:
        await client.start()
    except BaseException as error:
        for frame, _ in walk_tb(error.__traceback__):
            forgotten = frame.f_locals.get("bootstrap_conn")
            if isinstance(forgotten, AIOKafkaConnection):
                forgotten.close()
        raise


async def read_up_to(
    consumer: AIOKafkaConsumer,
    ends: Mapping[TopicPartition, int],
    *,
    patience: float,
    max_records: int,
    monotonic: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[list[Any]]:
    """Hand out what partitions hold below these offsets, in batches, until one of them is read to its end.

    They are assigned and sought already; each comes in its order.

    Args:
        consumer: sees what is committed; markers and what was aborted it passes over.
        ends: of at least one partition, the first offset that is not read any more.
        patience: seconds in which the broker answers, and some partition is read further.
        max_records: of a batch, after each of which the loop has a turn.
        monotonic: by which patience is counted.

    Raises:
        TimeoutError: patience is over.
    """
    positions = await _positions(consumer, ends, patience)
    progressed = monotonic()
    while all(positions[tp] < end for tp, end in ends.items()):
        batches = await consumer.getmany(*ends, timeout_ms=POLL_MS, max_records=max_records)
        if records := [record for tp, batch in batches.items() for record in batch if record.offset < ends[tp]]:
            yield records
        await asyncio.sleep(0)  # nothing above waits while fetched records are at hand
        before, positions = positions, await _positions(consumer, ends, patience)
        if positions != before:
            progressed = monotonic()
        elif monotonic() > progressed + patience:
            behind = ", ".join(f"{tp.topic} at offset {positions[tp]} of {end}" for tp, end in ends.items())
            raise TimeoutError(f"the broker hands nothing out of {behind}")


async def _positions(
    consumer: AIOKafkaConsumer, tps: Iterable[TopicPartition], patience: float
) -> dict[TopicPartition, int]:
    async with asyncio.timeout(patience):
        return {tp: await consumer.position(tp) for tp in tps}


async def stop_client(client: Client) -> None:
    """Stop a client; what does not end by itself has its connections cut. Flush a producer before."""
    network: Any = client.client if isinstance(client, AIOKafkaProducer) else client._client
    transports = _transports(network)
    stopping = asyncio.ensure_future(client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())
    await asyncio.wait([stopping], timeout=GOODBYE)
    for transport in transports:
        transport.abort()
    await asyncio.wait([stopping], timeout=GOODBYE)
    await _end(stopping)
    network._conns = _Closed(network._conns)
    for transport in _transports(network):
        transport.abort()
    closing = asyncio.ensure_future(network.close())
    await asyncio.wait([closing], timeout=GOODBYE)
    await _end(closing)


class _Closed(dict[Any, AIOKafkaConnection]):
    """The connections of a client that has stopped: one that a task of its was still opening is closed as it comes."""

    def __setitem__(self, key: Any, connection: AIOKafkaConnection) -> None:
        super().__setitem__(key, connection)
        connection.close()


async def _end(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _transports(network: Any) -> list[asyncio.Transport]:
    return [one._writer.transport for one in network._conns.values() if one._writer is not None]
