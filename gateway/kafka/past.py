# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false
# aiokafka ships no types.
"""One partition's past as its events and the state topic tell it, for rules that ask what lanes have and had.

`pipeline.partition` asks when it takes over, or when such a rule or a lower-only freeze begins to hold.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from gateway.kafka_clients import KafkaClients
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
            await self._each(consumer, events, ends[events] if begin is None else begin.offset, ends[events], told)
            await self._each(consumer, state, begins[state], ends[state], told, is_last=True)

    async def _each(
        self,
        consumer: AIOKafkaConsumer,
        tp: TopicPartition,
        begin: int,
        end: int,
        told: Callable[[Event, bool], None],
        *,
        is_last: bool = False,
    ) -> None:
        consumer.assign([tp])
        consumer.seek(tp, begin)
        position = begin
        while position < end:
            async with asyncio.timeout(self._patience):
                while (now_at := await consumer.position(tp)) == position:
                    batches = await consumer.getmany(tp, timeout_ms=100, max_records=SLICE)
                    for record in batches.get(tp, ()):
                        _tell(record, told, is_last=is_last)
            position = now_at
            await asyncio.sleep(0)

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
