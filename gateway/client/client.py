# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# aiokafka ships no types.
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
from typing import Self, Unpack

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from msgspec import Struct

from gateway.client.ids import CommandIds
from gateway.client.options import KafkaOptions
from gateway.client.reading import MissingTopicError
from gateway.stopping import stop_client
from schemas import DecodeError, Event, SetLeverage, Target, Timestamp, decode_command, decode_event, encode
from schemas.codec import JSON
from schemas.headers import CONTENT_TYPE, TRACEPARENT, content_type
from schemas.topics import Topics

_ENDS_LAST = 10.0  # seconds that the known ends of the events topic stand in for the present ones
_FLUSH_LASTS = 5.0
_log = logging.getLogger(__name__)

Record = ConsumerRecord[bytes, bytes]


class _Connection(KafkaOptions):
    bootstrap_servers: str


class UnconfirmedError(Exception):
    """Raised where Kafka did not confirm a command in time: it may have it, or get it yet, or never.

    To be sure of one answer, send it again with the same `command_id`: however often it arrives, it is answered once.

    Attributes:
        command: what was to be sent.
    """

    def __init__(self, command: SetLeverage, seconds: float) -> None:
        super().__init__(
            f"Kafka did not confirm {command.command_id} within {seconds:g} s; it may have it all the same"
        )
        self.command = command


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
        send_timeout: seconds after which `send` and `publish` give up.
        options: further options of aiokafka: `security_protocol`, `ssl_context`, `sasl_mechanism`, `client_id`, …
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        topics: Topics | None = None,
        *,
        check_crcs: bool = True,
        send_timeout: float = 30.0,
        **options: Unpack[KafkaOptions],
    ) -> None:
        self._topics = topics or Topics()
        servers = bootstrap_servers if isinstance(bootstrap_servers, str) else ",".join(bootstrap_servers)
        self._options: _Connection = {"request_timeout_ms": 10_000, **options, "bootstrap_servers": servers}
        self._send_timeout = send_timeout
        self._check_crcs = check_crcs
        self._ids = CommandIds()
        self._reader: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None
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
        """Send what is waiting, and disconnect; bounded in time, though no broker answers."""
        producer, reader = self._producer, self._reader
        self._producer = self._reader = None
        if producer is not None:
            with suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(_FLUSH_LASTS):
                    await producer.flush()
            await stop_client(producer)
        if reader is not None:
            await stop_client(reader)

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
            UnconfirmedError: Kafka did not confirm it within `send_timeout`, which is the longest this takes. It may
                have it, or get it later: send it again with the same `command_id`, and it is answered once.
            aiokafka.errors.KafkaError: Kafka refuses it. The same holds.
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
        try:
            async with asyncio.timeout(self._send_timeout):
                return await self._publish(command, value, headers)
        except TimeoutError:
            raise UnconfirmedError(command, self._send_timeout) from None

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
                await stop_client(consumer)

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
            await stop_client(consumer)

    async def _check_topics(self, reader: AIOKafkaConsumer) -> None:
        missing = {self._topics.commands, self._topics.events} - await reader.topics()
        if missing:
            raise MissingTopicError(f"no topic {' and no topic '.join(sorted(missing))} at the broker")

    def _consumer(self, *topics: str) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            *topics,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            check_crcs=self._check_crcs,
            **self._options,
        )

    async def _started_producer(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._reader is None:
                raise RuntimeError("the client is not started: use `async with LeverageClient(…)`")
            if self._producer is None:
                producer = AIOKafkaProducer(acks="all", enable_idempotence=True, **self._options)
                try:
                    await producer.start()
                except BaseException:
                    await stop_client(producer)
                    raise
                self._producer = producer
            return self._producer

    async def _publish(self, command: SetLeverage, value: bytes, headers: list[tuple[str, bytes]]) -> SentCommand:
        producer = await self._started_producer()
        ends = await self._event_ends(producer)
        made = await producer.send_and_wait(self._topics.commands, value, key=command.key.encode(), headers=headers)
        return SentCommand(
            command=command, partition=made.partition, offset=made.offset, events_from=ends.get(made.partition, 0)
        )

    async def _event_ends(self, producer: AIOKafkaProducer) -> dict[int, int]:
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
