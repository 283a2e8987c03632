"""Whether anybody of our group can have called a venue lately, asked of the broker before the first call.

`app` asks at start. It is so for a group that never began, and for one whose owners all left in order and answered
nothing since: then the limits that no venue tells the use of need not be taken for spent.
"""

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from tenacity import retry, retry_if_exception, wait_fixed

from gateway.kafka.commands_topic import unmarked
from gateway.kafka_clients import start_client, stop_client
from gateway.ownership.ledger import Checkpoint
from gateway.settings.tree import KafkaSettings


async def is_quiet(kafka: KafkaSettings, options: dict[str, Any], *, since: float) -> bool:
    """Whether no call of this group's can have been made after `since`, in wall seconds; False where it stays unknown.

    Who left in order told when it had called last, and whoever may have calls under way has an open checkpoint. These
    times, and the events' timestamps, are the clocks' of those who wrote them: `since` should leave room for that.
    """
    try:
        async with asyncio.timeout(kafka.request_timeout_ms / 1000):
            return await _ask(kafka, options, since)
    except (KafkaError, OSError, TimeoutError):
        return False


@retry(retry=retry_if_exception(lambda error: isinstance(error, KafkaError) and error.retriable), wait=wait_fixed(0.1))
async def _ask(kafka: KafkaSettings, options: dict[str, Any], since: float) -> bool:
    """Ask until told: a broker that was never asked for a group makes the topic of groups first."""
    return await _all_left_in_order(kafka, options, since) and not await _has_events(kafka, options, since)


async def _all_left_in_order(kafka: KafkaSettings, options: dict[str, Any], since: float) -> bool:
    admin = AIOKafkaAdminClient(**options)
    partitions = [TopicPartition(kafka.topics.commands, number) for number in range(kafka.partitions)]
    try:
        await start_client(admin)
        committed = await admin.list_consumer_group_offsets(kafka.group_id, partitions=partitions)
    finally:
        await stop_client(admin)
    points = [
        Checkpoint.read(commit.offset, unmarked(commit.metadata))
        for tp, commit in committed.items()
        if tp.topic == kafka.topics.commands and commit.offset >= 0
    ]
    return all(point.clean and point.called_at is not None and point.called_at < since for point in points)


async def _has_events(kafka: KafkaSettings, options: dict[str, Any], since: float) -> bool:
    consumer = AIOKafkaConsumer(kafka.topics.events, **options)
    try:
        await start_client(consumer)
        partitions: set[int] | None = consumer.partitions_for_topic(kafka.topics.events)  # pyright: ignore[reportUnknownMemberType] - untyped
        times = {TopicPartition(kafka.topics.events, number): int(since * 1000) for number in partitions or ()}
        found: list[Any] = list((await consumer.offsets_for_times(times)).values())  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - untyped
        return not times or any(found)
    finally:
        await stop_client(consumer)
