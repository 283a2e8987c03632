"""A gateway that says yes to every leverage up to 125, on a real broker."""

import asyncio
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from aiokafka import AIOKafkaConsumer

from gateway.client import connect
from gateway.clock import SystemClock
from gateway.kafka.answer_log import KafkaAnswerLog
from gateway.kafka.tail import Groups
from gateway.kafka_clients import KafkaClients
from gateway.ownership.ports import OutRecord
from schemas import LeverageChanged, LeverageRejected, Timestamp, decode_command, encode
from schemas.events import fields_of_answer


class Echo:
    """A gateway that says yes to every leverage up to 125, in transactions, on the command's partition."""

    def __init__(self, bootstrap, topics):
        self._bootstrap = bootstrap
        self._topics = topics
        self._logs = {}

    async def answer(self, partition, offset, command):
        about = fields_of_answer(
            command,
            event_id=f"{self._topics.commands}/{partition}/{offset}",
            attempts=1,
            occurred_at=Timestamp.parse("2026-11-26T12:00:00Z"),
        )
        if command.leverage > 125:
            event = LeverageRejected(
                **about, leverage=command.leverage, reason="venue_rejected", message="Leverage is not valid"
            )
            records = [OutRecord("events", event.key.encode(), encode(event), ())]
        else:
            event = LeverageChanged(
                **about, leverage=command.leverage, requested_leverage=command.leverage, certainty="confirmed"
            )
            records = [
                OutRecord("events", event.key.encode(), encode(event), ()),
                OutRecord("state", event.state_key.encode(), encode(event), ()),
            ]
        if partition not in self._logs:
            self._logs[partition] = log = self._log(partition)
            await log.fence()
        await self._logs[partition].write(records)

    def _log(self, partition):
        return KafkaAnswerLog(
            clients=KafkaClients({"bootstrap_servers": self._bootstrap}),
            topics=self._topics,
            partition=partition,
            transactional_id=f"echo-{uuid4().hex}",
            groups=Groups("ours", ()),
            transaction_timeout_ms=10_000,
            patience=10.0,
            clock=SystemClock(),
        )

    async def run(self):
        consumer = AIOKafkaConsumer(
            self._topics.commands, bootstrap_servers=self._bootstrap, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            async for record in consumer:
                await self.answer(record.partition, record.offset, decode_command(record.value))
        finally:
            await consumer.stop()
            for log in self._logs.values():
                await log.close()


@asynccontextmanager
async def echoing(bootstrap, topics):
    task = asyncio.create_task(Echo(bootstrap, topics).run())
    try:
        async with connect(f"kafka://{bootstrap}", topics=topics) as client:
            yield client
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
