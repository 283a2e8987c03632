# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false
# aiokafka ships no types.
"""One partition's past as its events and the state topic tell it, for rules that ask what lanes have and had.

`pipeline.obey` asks when a partition is taken over, or when such a rule or a lower-only freeze begins to hold.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from gateway.kafka_clients import KafkaClients, read_up_to
from gateway.settings.tree import KafkaSettings
from schemas import DecodeError, Event, decode_event
from schemas.headers import content_type

SLICE = 200  # records between two turns of the loop


class PastReader:
    """Reads the past of any partition."""

    def __init__(self, kafka: KafkaSettings, clients: KafkaClients) -> None:
        self._topics = kafka.topics
        self._clients = clients
        self._patience = kafka.request_timeout_ms / 1000

    async def read(self, partition: int, since: float, told: Callable[[Event, bool], None]) -> None:
        """Tell each event from `since` on, in wall seconds, oldest first; then, with True, the last of each lane.

        Raises:
            KafkaError, TimeoutError: the broker does not hand them out.
        """
        events = TopicPartition(self._topics.events, partition)
        state = TopicPartition(self._topics.state, partition)
        async with self._consumer(events, state) as consumer:
            async with asyncio.timeout(self._patience):
                ends = await consumer.end_offsets([events, state])
                begins = await consumer.beginning_offsets([state])
                found = await consumer.offsets_for_times({events: int(since * 1000)})
            begin = found[events]
            consumer.seek(events, ends[events] if begin is None else begin.offset)
            consumer.seek(state, begins[state])
            for tp in (events, state):
                async for records in read_up_to(consumer, {tp: ends[tp]}, patience=self._patience, max_records=SLICE):
                    for record in records:
                        _tell(record, told, is_last=tp is state)

    @asynccontextmanager
    async def _consumer(self, *partitions: TopicPartition) -> AsyncGenerator[AIOKafkaConsumer]:
        consumer = self._clients.reader()
        try:
            async with asyncio.timeout(self._patience):
                await self._clients.start(consumer)
            consumer.assign(list(partitions))
            yield consumer
        finally:
            await self._clients.stop(consumer)


def _tell(record: Any, told: Callable[[Event, bool], None], *, is_last: bool) -> None:
    if record.value is None:
        return
    try:
        event = decode_event(record.value, content_type(record.headers))
    except DecodeError:
        return  # not a gateway's
    told(event, is_last)
