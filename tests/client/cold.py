"""A cold cache over many lanes: how soon it is ready, and that it equals a replay: `python -m tests.client.cold`.

The state topic has older values of lanes, aborted records, markers at its end and an empty partition; it is compacted
before it is read. The replay is another reader's: the last committed value of each key.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from msgspec.structs import replace

from deploy.kafka.broker import Cluster
from gateway.client import Client, LaneKey, connect
from gateway.kafka.topics import create_topics
from gateway.settings.tree import KafkaSettings, Settings
from schemas import BinanceUsdm, LeverageChanged, decode_event, encode
from schemas.topics import Topics
from tests.edge.rig import changed, edge_of, settings_of

PARTITIONS = 4  # the last one stays empty
OLDER = 5  # one of so many lanes has an older value too
SYMBOLS = 100  # of each account
BATCH = 1_000
PATIENCE = 300.0


async def fill(bootstrap: str, topics: Topics, lanes: int) -> int:
    """Write so many lanes as a gateway does, with an aborted transaction after every tenth; the records of state."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"cold-{uuid4().hex}", linger_ms=5)
    await producer.start()
    numbers = [*range(0, lanes, OLDER), *range(lanes)]
    try:
        for begin in range(0, len(numbers), BATCH):
            await _write(producer, topics, numbers[begin : begin + BATCH], begin, aborts=False)
            if begin // BATCH % 10 == 0:
                await _write(producer, topics, range(100), begin, aborts=True)
    finally:
        await producer.stop()
    return len(numbers)


async def _write(
    producer: AIOKafkaProducer, topics: Topics, numbers: Sequence[int], begin: int, *, aborts: bool
) -> None:
    await producer.begin_transaction()
    for place, number in enumerate(numbers, begin):
        event = lane_event(number, Decimal(125 if aborts else place % 50 + 1))
        partition = partition_of(number)
        for topic, key in ((topics.events, event.key), (topics.state, event.state_key)):
            await producer.send(topic, encode(event), key=key.encode(), partition=partition)
    await (producer.abort_transaction() if aborts else producer.commit_transaction())


def partition_of(number: int) -> int:
    """Where an account's lanes are."""
    return number // SYMBOLS % (PARTITIONS - 1)


def lane_event(number: int, leverage: Decimal) -> LeverageChanged:
    """A value of one lane."""
    symbol = f"S{number % SYMBOLS}USDT"
    event = changed(number, account=f"desk-{number // SYMBOLS}")
    target = BinanceUsdm(symbol=symbol)
    return replace(event, target=target, lane=symbol, leverage=leverage, requested_leverage=leverage)


async def take_out(bootstrap: str, topics: Topics, numbers: Sequence[int]) -> None:
    """Take lanes out of the state, as an operator does; a value that comes after it is one again."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        for number in numbers:
            key = lane_event(number, Decimal(1)).state_key.encode()
            await producer.send(topics.state, None, key=key, partition=partition_of(number))
        await producer.flush()
    finally:
        await producer.stop()


async def replay(bootstrap: str, topics: Topics) -> tuple[dict[LaneKey, LeverageChanged], int]:
    """The last committed value of each key, and how many records it took."""
    consumer = AIOKafkaConsumer(
        topics.state, bootstrap_servers=bootstrap, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    await consumer.start()
    found: dict[LaneKey, LeverageChanged] = {}
    count = 0
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                count += len(records)
                for record in records:
                    key = msgspec.convert(record.key.decode().split(":", 2), LaneKey)
                    if record.value is None:
                        found.pop(key, None)
                    elif isinstance(event := decode_event(record.value), LeverageChanged):
                        found[key] = event
    finally:
        await consumer.stop()
    return found, count


async def read_cold(client: Client) -> tuple[float, dict[LaneKey, LeverageChanged]]:
    """Seconds until a new cache was ready, and what it has."""
    began = time.monotonic()
    cache = await client.cache()
    await cache.ready(PATIENCE)
    seconds = time.monotonic() - began
    return seconds, {key: state.event for key, state in cache.items()}


@asynccontextmanager
async def both(bootstrap: str, topics: Topics, folder: Path) -> AsyncGenerator[dict[str, Client]]:
    """A client over Kafka, and one over an edge."""
    async with edge_of(settings_of(bootstrap, topics, folder), folder) as edge:
        url = f"{edge.server.url.replace('http', 'ws')}/v1/stream"
        async with connect(f"kafka://{bootstrap}", topics=topics) as kafka, connect(url, token="desk-token") as stream:
            yield {"kafka": kafka, "edge": stream}


async def compacted(bootstrap: str, topics: Topics, written: int) -> int:
    """Have the state topic compacted; how many records are left."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    soon = {
        "segment.ms": "1000",
        "min.cleanable.dirty.ratio": "0.01",
        "min.compaction.lag.ms": "0",
        "max.compaction.lag.ms": "1000",
    }
    try:
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topics.state, {"cleanup.policy": "compact"} | soon)]
        )
    finally:
        await admin.close()
    await asyncio.sleep(2.0)
    await fill(bootstrap, topics, 3 * SYMBOLS)  # a new segment: the one that is written to is never compacted
    left = written
    async with asyncio.timeout(PATIENCE):
        while left >= written:
            await asyncio.sleep(5.0)
            _, left = await replay(bootstrap, topics)
    return left


async def main(lanes: int) -> None:
    """Measure it once over each transport."""
    topics = Topics()
    with Cluster() as cluster, TemporaryDirectory() as folder:
        bootstrap = cluster.bootstrap_servers
        kafka = KafkaSettings(bootstrap_servers=bootstrap, partitions=PARTITIONS)
        await create_topics(Settings(kafka=kafka), base_dir=Path(folder))
        written = await fill(bootstrap, topics, lanes)
        print(
            f"{written} records of {lanes} lanes, {await compacted(bootstrap, topics, written)} after compaction",
            flush=True,
        )
        began = time.monotonic()
        wanted, _ = await replay(bootstrap, topics)
        print(f"  a replay takes {time.monotonic() - began:.1f} s")
        async with both(bootstrap, topics, Path(folder)) as clients:
            for name, client in clients.items():
                seconds, got = await read_cold(client)
                verdict = "as the replay has it" if got == wanted else "NOT as the replay has it"
                print(f"  over {name}: {len(got)} lanes ready in {seconds:.1f} s, {verdict}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.client.cold", description=__doc__)
    parser.add_argument("--lanes", type=int, default=100_000)
    asyncio.run(main(parser.parse_args().lanes))
