"""Talks to the gateway through Kafka: commands out, events in.

Before it stands an engine's decision; behind it `leverage.commands.v1` and, some milliseconds later, the event.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from msgspec import Struct

from gateway.client.ids import CommandIds
from schemas import DecodeError, Event, SetLeverage, Target, Timestamp, decode_command, decode_event, encode
from schemas.codec import JSON
from schemas.headers import CONTENT_TYPE, TRACEPARENT, content_type
from schemas.topics import Topics

_ENDS_LAST = 10.0  # seconds that the known ends of the events topic stand in for the present ones
_STOP_LASTS = 15.0
_log = logging.getLogger(__name__)

Record = ConsumerRecord[bytes, bytes]
_Untyped = Any  # aiokafka's consumers and producers have no annotations


class MissingTopicError(Exception):
    """Raised where a topic is not there; asking Kafka for it could make it with the wrong partitions."""


class SentCommand(Struct, frozen=True, kw_only=True):
    """A command that Kafka has.

    Attributes:
        command: what was sent, with its id.
        partition: of the commands topic; the answer comes on the same partition of the events topic.
        offset: of the command's record.
        events_from: an offset of the events partition that is before the answer.
    """

    command: SetLeverage
    partition: int
    offset: int
    events_from: int


class LeverageClient:
    """A connection to the gateway's topics; use it with `async with`.

    Commands go to the partition that murmur2 gives their key, `<venue>:<account>`, and are acknowledged by all in-sync
    replicas. Events are read committed.

    Args:
        bootstrap_servers: `host:port`, or several.
        topics: the gateway's topics, where they have other names.
        check_crcs: False for librdkafka's mock broker, whose transaction markers have none.
        options: further options of aiokafka: `security_protocol`, `ssl_context`, `sasl_mechanism`, `client_id`, …
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        topics: Topics | None = None,
        *,
        check_crcs: bool = True,
        **options: Any,
    ) -> None:
        self._topics = topics or Topics()
        self._options: dict[str, Any] = {
            "request_timeout_ms": 10_000,
            **options,
            "bootstrap_servers": bootstrap_servers,
        }
        self._check_crcs = check_crcs
        self._ids = CommandIds()
        self._reader: _Untyped | None = None
        self._producer: _Untyped | None = None
        self._starting = asyncio.Lock()
        self._ends: dict[int, int] = {}
        self._ends_known_until = 0.0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Connect; MissingTopicError where the topics are not, aiokafka's KafkaConnectionError where no broker is."""
        reader = self._reader = self._consumer()
        try:
            await reader.start()
            await self._check_topics(reader)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Send what is waiting, and disconnect."""
        producer, reader = self._producer, self._reader
        self._producer = self._reader = None
        if producer is not None:
            with suppress(TimeoutError):  # aiokafka's stop may wait for a broker that never comes back
                await asyncio.wait_for(producer.stop(), _STOP_LASTS)
        if reader is not None:
            await reader.stop()

    async def send(
        self,
        target: Target,
        account: str,
        leverage: Decimal | int | str,
        *,
        expires_at: datetime | None = None,
        issuer: str | None = None,
        command_id: str | None = None,
        traceparent: str | None = None,
    ) -> SentCommand:
        """Publish one command; returns when Kafka has it, which says nothing of the venue yet.

        Raises:
            ValueError: the command is not one; its text says where. Nothing was sent.
            aiokafka.errors.KafkaError: Kafka did not take it in time. It may still have: send it again with the same
                `command_id`, and it is answered once.
        """
        command = SetLeverage(
            command_id=command_id or self._ids(),
            account=account,
            leverage=Decimal(leverage) if not isinstance(leverage, Decimal) else leverage,
            target=target,
            issued_at=Timestamp.from_epoch(time.time()),
            expires_at=None if expires_at is None else Timestamp.of(expires_at),
            issuer=issuer,
        )
        return await self.publish(command, traceparent=traceparent)

    async def publish(self, command: SetLeverage, *, traceparent: str | None = None) -> SentCommand:
        """Publish a command made elsewhere; as `send` else."""
        value = encode(command)
        if not command.leverage.is_finite():
            raise ValueError(f"leverage is a decimal number, not {command.leverage}")
        decode_command(value)  # Structs check what they read, not what they are made of
        headers = [(CONTENT_TYPE, JSON.encode())]
        if traceparent is not None:
            headers.append((TRACEPARENT, traceparent.encode()))
        producer = await self._started_producer()
        ends = await self._event_ends(producer)
        made = await producer.send_and_wait(self._topics.commands, value, key=command.key.encode(), headers=headers)
        return SentCommand(
            command=command, partition=made.partition, offset=made.offset, events_from=ends.get(made.partition, 0)
        )

    async def wait(self, sent: SentCommand, timeout: float) -> Event:  # noqa: ASYNC109 - a deadline of the caller's
        """The answer to a command; TimeoutError after `timeout` seconds without one.

        It reads its partition of the events for itself. To follow many commands, use `events` once for all.
        """
        partition = TopicPartition(self._topics.events, sent.partition)
        key = sent.command.key.encode()
        async with asyncio.timeout(timeout):
            consumer = self._consumer()
            try:
                await consumer.start()
                consumer.assign([partition])
                consumer.seek(partition, sent.events_from)
                while True:
                    record: Record = await consumer.getone()
                    event = _read(record) if record.key == key else None
                    if event is not None and event.command_id == sent.command.command_id:
                        return event
            finally:
                await consumer.stop()

    async def events(self, *, from_beginning: bool = False) -> AsyncGenerator[Event]:
        """All events, each partition in order, until the caller stops; records that are none are logged and left out.

        Starts where the topic ends when the first event is asked for, or at what is kept of its beginning.
        """
        consumer = self._consumer(self._topics.events)
        try:
            await consumer.start()
            if not from_beginning:
                ends: dict[TopicPartition, int] = await consumer.end_offsets(consumer.assignment())
                for partition, end in ends.items():  # seek_to_end races with the first reset to the beginning
                    consumer.seek(partition, end)
            async for record in consumer:
                event = _read(record)
                if event is not None:
                    yield event
        finally:
            await consumer.stop()

    async def _check_topics(self, reader: _Untyped) -> None:
        missing = {self._topics.commands, self._topics.events} - await reader.topics()
        if missing:
            raise MissingTopicError(f"no topic {' and no topic '.join(sorted(missing))} at the broker")

    def _consumer(self, *topics: str) -> _Untyped:
        return AIOKafkaConsumer(
            *topics,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            check_crcs=self._check_crcs,
            **self._options,
        )

    async def _started_producer(self) -> _Untyped:
        async with self._starting:
            if self._reader is None:
                raise RuntimeError("the client is not started: use `async with LeverageClient(…)`")
            if self._producer is None:
                producer: _Untyped = AIOKafkaProducer(acks="all", enable_idempotence=True, **self._options)
                await producer.start()
                self._producer = producer
            return self._producer

    async def _event_ends(self, producer: _Untyped) -> dict[int, int]:
        """Where each events partition ended not long ago: an answer to come is behind it."""
        now = time.monotonic()
        if self._reader is not None and now >= self._ends_known_until:
            numbers: set[int] = await producer.partitions_for(self._topics.events)
            partitions = [TopicPartition(self._topics.events, number) for number in sorted(numbers)]
            ends: dict[TopicPartition, int] = await self._reader.end_offsets(partitions)
            self._ends = {partition.partition: end for partition, end in ends.items()}
            self._ends_known_until = now + _ENDS_LAST
        return self._ends


def _read(record: Record) -> Event | None:
    try:
        return decode_event(record.value or b"", content_type(record.headers))
    except DecodeError as error:
        _log.warning(
            "skipped_record topic=%s partition=%s offset=%s: %s", record.topic, record.partition, record.offset, error
        )
        return None
