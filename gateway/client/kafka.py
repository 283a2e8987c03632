# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportUnknownParameterType=false
# aiokafka ships no types.
"""The client's transport over Kafka: commands to their topic, events and state from theirs, read committed.

It has no consumer group: every client reads all it wants, and nobody's offsets are moved.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from gateway.client.feed import Appended, Current, FeedItem, Loading, LoggedEvent, Lost, Place, Rows
from gateway.client.lanes import LaneKey
from gateway.client.options import KafkaOptions
from gateway.client.reading import MissingTopicError, TopicReader
from gateway.clock import Clock, SystemClock
from gateway.kafka_clients import KafkaClients, start_client, stop_client
from schemas import DecodeError, Event, LeverageChanged, SetLeverage, decode_event, encode
from schemas.codec import JSON
from schemas.headers import CONTENT_TYPE, content_type
from schemas.topics import Topics

PATIENCE = 10.0  # seconds for a connection, or one step of reading
BEAT = 0.25  # seconds between two questions where the log ends
BEAT_PATIENCE = 0.5  # seconds for the answer to one
POLL_MS = 50
FETCH_WAIT_MS = 100  # a broker answers one connection in order: a beat waits behind a fetch
BATCH = 2_000  # records in one item
RECONNECT = 0.5  # seconds

_log = logging.getLogger(__name__)


class KafkaTransport:
    """Reads and writes the gateway's topics."""

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        topics: Topics | None = None,
        *,
        clock: Clock | None = None,
        check_crcs: bool = True,
        options: KafkaOptions | None = None,
    ) -> None:
        """Take the address.

        Args:
            bootstrap_servers: `host:port`, or several.
            topics: the gateway's, where they have other names.
            clock: the time.
            check_crcs: False for librdkafka's mock broker, whose transaction markers have none.
            options: aiokafka's further ones: `security_protocol`, `ssl_context`, `sasl_mechanism`, `client_id`, …
        """
        self._topics = topics or Topics()
        self._clock = clock or SystemClock()
        self._options: dict[str, Any] = {
            "request_timeout_ms": 10_000,
            "metadata_max_age_ms": 10_000,
            **(options or {}),
            "bootstrap_servers": bootstrap_servers,
        }
        self._consumer_options: dict[str, Any] = {"check_crcs": check_crcs}
        self._metadata: AIOKafkaProducer | None = None  # sends nothing: who only reads has no right to write
        self._writer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._on_event: Callable[[Event], None] = _ignore
        self._answers: asyncio.Task[None] | None = None
        self._is_listening = asyncio.Event()

    async def start(self, on_event: Callable[[Event], None]) -> None:
        """Connect; aiokafka's KafkaError where no broker is, TimeoutError where it does not answer."""
        self._on_event = on_event
        self._metadata = await self._started(AIOKafkaProducer(**self._options), self._check_topics)

    async def _started(
        self, producer: AIOKafkaProducer, check: Callable[[AIOKafkaProducer], Awaitable[None]] | None = None
    ) -> AIOKafkaProducer:
        try:
            async with asyncio.timeout(PATIENCE):
                await start_client(producer)
                if check is not None:
                    await check(producer)
        except BaseException:
            await stop_client(producer)
            raise
        return producer

    async def _check_topics(self, producer: AIOKafkaProducer) -> None:
        cluster = await producer.client.fetch_all_metadata()
        missing = {self._topics.commands, self._topics.events, self._topics.state} - cluster.topics()
        if missing:
            names = " and no topic ".join(sorted(missing))
            raise MissingTopicError(f"no topic {names} at the broker, or this user may not see it")

    async def stop(self) -> None:
        """Send what is waiting, and disconnect."""
        if self._answers is not None:
            self._answers.cancel()
            with suppress(asyncio.CancelledError):
                await self._answers
        connected, self._metadata, self._writer = (self._writer, self._metadata), None, None
        for producer in connected:
            if producer is not None:
                with suppress(TimeoutError, KafkaError):
                    async with asyncio.timeout(PATIENCE):
                        await producer.flush()
                await stop_client(producer)

    async def publish(self, command: SetLeverage, *, wants_answer: bool) -> Place:
        """Publish one command; KafkaError where Kafka did not take it: it may have it all the same."""
        if self._metadata is None:
            raise RuntimeError("the client is not started: use `async with`")
        if wants_answer:
            await self._listen()
        async with self._starting:
            if self._writer is None:
                writer = AIOKafkaProducer(acks="all", enable_idempotence=True, **self._options)
                self._writer = await self._started(writer)
        headers = [(CONTENT_TYPE, JSON.encode())]
        made = await self._writer.send_and_wait(
            self._topics.commands, encode(command), key=command.key.encode(), headers=headers
        )
        return Place(made.partition, made.offset)

    async def follow(
        self, *, accounts: frozenset[str] | None, from_beginning: bool, with_state: bool
    ) -> AsyncGenerator[FeedItem]:
        """Follow the log; as the port says."""
        reader = _LogReader(
            self._topics,
            {**self._options, **self._consumer_options},
            partitions_of=self._partitions,
            clock=self._clock,
            accounts=accounts,
        )
        why = "the beginning"
        while True:
            yield Loading(why)
            log = reader.read(from_beginning=from_beginning, with_state=with_state)
            try:
                async for item in log:
                    yield item
            except (OffsetOutOfRangeError, PartitionsChangedError) as error:
                why = f"the log went on without us: {error}"
            except (KafkaError, TimeoutError, OSError) as error:
                why = f"Kafka: {str(error) or type(error).__name__}"
                yield Lost(why)
                await asyncio.sleep(RECONNECT)
            finally:
                await log.aclose()

    async def _partitions(self, topic: str) -> list[TopicPartition]:
        if self._metadata is None:
            raise RuntimeError("the client is not started: use `async with`")
        numbers: set[int] = await self._metadata.partitions_for(topic)
        return [TopicPartition(topic, number) for number in sorted(numbers)]

    async def _listen(self) -> None:
        """Follow the events from before the first command whose answer is wanted."""
        if self._answers is None:
            self._answers = asyncio.create_task(self._tell_answers(), name="answers")
        listening = asyncio.create_task(self._is_listening.wait())
        try:
            await asyncio.wait([listening, self._answers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
        if self._answers.done():
            self._answers.result()

    async def _tell_answers(self) -> None:
        async for item in self.follow(accounts=None, from_beginning=False, with_state=False):
            if isinstance(item, Appended):
                for logged in item.events:
                    self._on_event(logged.event)
            elif isinstance(item, Current):
                self._is_listening.set()


class PartitionsChangedError(Exception):
    """Raised where the events topic has another number of partitions than when reading began."""


class _Ends(NamedTuple):
    """Where the log ended at `asked_at` (monotonic seconds)."""

    asked_at: float
    offsets: Mapping[TopicPartition, int]


class _LogReader:
    """Reads state and events once, from where it begins until it is stopped or the log goes away."""

    def __init__(
        self,
        topics: Topics,
        options: Mapping[str, Any],
        *,
        partitions_of: Callable[[str], Awaitable[list[TopicPartition]]],
        clock: Clock,
        accounts: frozenset[str] | None,
    ) -> None:
        self._partitions_of = partitions_of
        self._topics = topics
        self._options = options
        self._clock = clock
        self._accounts = accounts

    async def read(self, *, from_beginning: bool, with_state: bool) -> AsyncGenerator[FeedItem]:
        consumer = KafkaClients(self._options).reader(auto_offset_reset="none", fetch_max_wait_ms=FETCH_WAIT_MS)
        try:
            async with asyncio.timeout(PATIENCE):
                await start_client(consumer)
                events = await self._partitions_of(self._topics.events)
                starts = await (consumer.beginning_offsets(events) if from_beginning else consumer.end_offsets(events))
            if with_state:
                async for rows in self._state(consumer):
                    yield rows
            consumer.assign(events)
            for tp, offset in starts.items():
                consumer.seek(tp, offset)
            async for item in self._events(consumer, events):
                yield item
        finally:
            await stop_client(consumer)

    async def _state(self, consumer: AIOKafkaConsumer) -> AsyncGenerator[Rows]:
        reader = TopicReader(consumer, self._clock.monotonic, patience=PATIENCE)
        async with asyncio.timeout(PATIENCE):
            partitions = await self._partitions_of(self._topics.state)
        async for records in reader.forwards(self._topics.state, await reader.ranges_of(partitions)):
            newest = {record.key: record for record in records}
            events = map(self._read, newest.values())
            rows = [event for event in events if isinstance(event, LeverageChanged)]
            gone = [key for record in newest.values() if record.value is None and (key := _lane_of(record.key))]
            if rows or gone:
                yield Rows(rows, gone)

    async def _events(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> AsyncGenerator[FeedItem]:
        """Hand out events as they come, and every beat whether anything was missing when it was asked."""
        next_beat, pending = float("-inf"), _Ends(0.0, {})
        while True:
            now = self._clock.monotonic()
            if now >= next_beat:
                next_beat = now + BEAT
                try:
                    ends = await self._ends(consumer, partitions)
                except (KafkaError, TimeoutError, OSError) as error:
                    yield Lost(f"Kafka does not say where the log ends: {str(error) or type(error).__name__}")
                else:
                    pending = pending if pending.offsets else _Ends(now, ends)
            logged = await self._poll(consumer)
            if logged:
                yield Appended(logged)
            if pending.offsets and await self._has_reached(consumer, pending.offsets):
                yield Current(self._clock.monotonic() - pending.asked_at)
                pending = _Ends(0.0, {})

    async def _ends(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        async with asyncio.timeout(BEAT_PATIENCE):
            ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        if await self._partitions_of(self._topics.events) != partitions:
            raise PartitionsChangedError(f"{self._topics.events} has another number of partitions")
        return ends

    async def _has_reached(self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
        for tp, end in ends.items():
            if await consumer.position(tp) < end:
                return False
        return True

    async def _poll(self, consumer: AIOKafkaConsumer) -> list[LoggedEvent]:
        batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH)
        logged: list[LoggedEvent] = []
        for tp, records in batches.items():
            for record in records:
                event = self._read(record)
                if event is not None:
                    logged.append(LoggedEvent(tp.partition, record.offset, event))
        return logged

    def _read(self, record: Any) -> Event | None:
        try:
            event = decode_event(record.value or b"", content_type(record.headers))
        except DecodeError as error:
            if record.value is not None:  # a tombstone says that a lane is gone from the state topic
                place = f"{record.topic}/{record.partition}/{record.offset}"
                _log.warning("skipped_record %s: %s", place, error)
            return None
        return event if self._accounts is None or event.account in self._accounts else None


def _lane_of(key: bytes | None) -> LaneKey | None:
    try:
        return msgspec.convert((key or b"").decode().split(":", 2), LaneKey)
    except ValueError:  # msgspec's ValidationError is one
        return None


def _ignore(_event: Event) -> None:
    """Nobody waits for answers yet."""
