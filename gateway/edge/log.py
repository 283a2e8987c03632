# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportUnknownParameterType=false, reportPrivateUsage=false
# ruff: noqa: SLF001 - aiokafka shows its connections to nobody
"""The one reader of Kafka in an instance: state once, events for ever, and older events where somebody asks for them.

```
state topic, to its end ─┐
events, from a while ago ┴─▶ hub ─▶ … until the log is another one: then a new hub
```

The events begin before the state is read, so at the end of what there is each lane has its newest change, and the
latest events are at hand for those who come back.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from gateway.client.reading import MissingTopicError, TopicReader
from gateway.clock import Clock
from gateway.edge.history import BLOCK, GoneError, History
from gateway.edge.hub import Hub
from gateway.edge.position import Positions
from gateway.edge.record import EventRow, read_record
from gateway.edge.tail import LogFollower, Part
from gateway.kafka.topic_id import topic_id
from gateway.kafka_clients import KafkaClients, start_client, stop_client
from gateway.tasks import UnaskedCancellationError, lasting
from schemas import DecodeError
from schemas.topics import Topics

KEPT = 50_000  # events held in memory
LOOK_BACK = KEPT // 2  # offsets before the end, over all partitions, from which on events are read at the start
PATIENCE = 10.0  # seconds for one step of reading
READ_BACK_PATIENCE = 30.0  # seconds for a stretch of older events
LOOK_EVERY = 5.0  # seconds between two looks where the log begins, and whether it is the same one
LOOK_PATIENCE = 5.0
FETCH_WAIT_MS = 100  # a broker answers one connection in order: whatever else is asked waits behind a fetch
SLICE = 200  # events between two turns of the loop
TRY_AGAIN = 0.5
MOST_LAG = 1e6  # seconds


class LogObserver(Protocol):
    """Who is told of the log."""

    def loaded(self, lanes: int) -> None:
        """State and events are in."""
        ...

    def lost_log(self, why: str) -> None:
        """It cannot be followed now."""
        ...

    def other_log(self, why: str) -> None:
        """It is another one than it was; all is read anew."""
        ...

    def passed_over(self, place: str, why: str) -> None:
        """A record is no event."""
        ...

    def read_back(self, records: int) -> None:
        """Older events were read for somebody."""
        ...


class OtherLogError(Exception):
    """Raised where the log went on without us, or is another one under the same name."""


class EventLog:
    """Follows the log for ever.

    Attributes:
        hub: what is known of it; None until everything is in.
    """

    def __init__(
        self,
        topics: Topics,
        options: Mapping[str, Any],
        *,
        consumer_options: Mapping[str, Any],
        gather: float,
        clock: Clock,
        observer: LogObserver,
        replaced: Callable[[Hub], None],
    ) -> None:
        """Take the parts.

        Args:
            topics: the gateway's.
            options: aiokafka's; one mapping for all, as hosts that do not answer are taken out of it.
            consumer_options: further ones of consumers.
            gather: for so many seconds events gather after some came, as each fetch costs about a millisecond of the
                processor; what comes alone is told at once.
            clock: the time.
            observer: who is told.
            replaced: called with a hub that is not fed any more.
        """
        self.hub: Hub | None = None
        self._topics = topics
        self._options = options
        self._consumer_options: Mapping[str, Any] = {
            "fetch_max_wait_ms": FETCH_WAIT_MS,
            "check_crcs": True,
            **consumer_options,
        }
        self._gather = gather
        self._clock = clock
        self._observer = observer
        self._replaced = replaced
        self._was_loaded = False
        self._current_at: float | None = None
        self._back = asyncio.Lock()
        self._back_reader: AIOKafkaConsumer | None = None

    @property
    def lag(self) -> float:
        """Seconds for which something committed may be missing; infinite while loading."""
        return float("inf") if self._current_at is None else max(0.0, self._clock.monotonic() - self._current_at)

    async def run(self) -> None:
        """Follow the log until cancelled."""
        try:
            while True:
                consumer = self._consumer()
                try:
                    async with asyncio.timeout(PATIENCE):
                        await start_client(consumer)
                    await lasting(partial(self._follow, consumer))
                except (OffsetOutOfRangeError, OtherLogError) as error:
                    self._start_anew(str(error))
                except MissingTopicError as error:
                    if not self._was_loaded:
                        raise
                    self._observer.lost_log(str(error))
                    await asyncio.sleep(TRY_AGAIN)
                except (KafkaError, TimeoutError, OSError, UnaskedCancellationError) as error:
                    self._observer.lost_log(f"{type(error).__name__}: {error}")
                    self._start_anew(None)
                    await asyncio.sleep(TRY_AGAIN)
                finally:
                    await stop_client(consumer)
        finally:
            if self._back_reader is not None:
                await stop_client(self._back_reader)

    def _start_anew(self, why: str | None) -> None:
        hub, self.hub, self._current_at = self.hub, None, None
        if why is not None:
            self._observer.other_log(why)
        if hub is not None:
            self._replaced(hub)

    def _consumer(self) -> AIOKafkaConsumer:
        return KafkaClients(self._options, self._consumer_options).reader(auto_offset_reset="none")

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        async with asyncio.timeout(PATIENCE):
            events = await self._reader(consumer).partitions(self._topics.events)
            identity = await self._topic_id(consumer)
            begins = await consumer.beginning_offsets(events)
            ends = await consumer.end_offsets(events)
        starts = [_start(begins[tp], ends[tp], LOOK_BACK // len(events)) for tp in events]
        log_id = identity + self._topics.events.encode()
        hub = Hub(
            History(starts, self._read_back, most=KEPT),
            Positions(log_id, len(events)),
            asyncio.get_running_loop().call_later,
            self._clock.monotonic,
            lambda: min(self.lag, MOST_LAG),
        )
        hub.history.begins = [begins[tp] for tp in events]
        await self._load_state(consumer, hub)
        consumer.assign(events)  # so that it keeps itself told of their leaders
        consumer.pause(*events)
        offsets = {tp.partition: start for tp, start in zip(events, starts, strict=True)}
        tail = LogFollower(consumer, self._topics.events, offsets, self._consumer_options, self._clock.monotonic)
        looks = asyncio.create_task(self._look_again(consumer, hub, events, identity))
        try:
            while not looks.done():
                await self._poll(tail, hub)
            looks.result()
        finally:
            looks.cancel()
            await tail.close()

    def _reader(self, consumer: AIOKafkaConsumer) -> TopicReader:
        return TopicReader(consumer, self._clock.monotonic)

    async def _load_state(self, consumer: AIOKafkaConsumer, hub: Hub) -> None:
        reader = self._reader(consumer)
        ranges = await reader.ranges(self._topics.state)
        async for records in reader.forwards(self._topics.state, ranges):
            for record in records:
                key = (record.key or b"").decode("utf-8", "replace").split(":", 2)
                if record.value is None and len(key) == 3:  # noqa: PLR2004 - venue, account, lane
                    hub.load((key[0], key[1], key[2]), None)
                elif (row := self._read(record, offset=-1)) is not None:
                    hub.load(row.lane, row)
            await asyncio.sleep(0)

    async def _poll(self, tail: LogFollower, hub: Hub) -> None:
        fetched = await self._fetch(tail)
        for partition, records, end, _is_all in fetched:
            for begin in range(0, len(records), SLICE):
                if begin:
                    hub.settle()
                    await asyncio.sleep(0)
                part = records[begin : begin + SLICE]
                logged = [one for record in part if (one := self._read(record)) is not None]
                hub.take(partition, logged, part[-1].offset + 1)
            hub.take(partition, (), end)
        hub.settle()
        if tail.current_at > float("-inf"):
            self._current_at = tail.current_at
            if self.hub is None:
                self.hub, self._was_loaded = hub, True
                self._observer.loaded(hub.lane_count)
        if any(part.records for part in fetched):
            await asyncio.sleep(self._gather)

    async def _fetch(self, tail: LogFollower) -> Sequence[Part]:
        try:
            return await tail.read()
        except OffsetOutOfRangeError:
            raise
        except KafkaError as error:  # it goes on where it was, once the broker does
            self._observer.lost_log(f"{type(error).__name__}: {error}")
            await asyncio.sleep(TRY_AGAIN)
            return ()

    async def _look_again(
        self, consumer: AIOKafkaConsumer, hub: Hub, events: list[TopicPartition], identity: bytes
    ) -> None:
        """Look again and again where the log begins, and whether it is the same one."""
        while True:
            try:
                async with asyncio.timeout(LOOK_PATIENCE):
                    await self._look(consumer, hub, events, identity)
            except (KafkaError, TimeoutError, OSError) as error:
                self._observer.lost_log(
                    f"Kafka does not say where the log begins: {str(error) or type(error).__name__}"
                )
            except MissingTopicError as error:
                raise OtherLogError(str(error)) from error
            await asyncio.sleep(LOOK_EVERY)

    async def _look(self, consumer: AIOKafkaConsumer, hub: Hub, events: list[TopicPartition], identity: bytes) -> None:
        """Look where the log begins now; OtherLogError where it is not the one that was followed."""
        begins = await consumer.beginning_offsets(events)
        hub.history.begins = [begins[tp] for tp in events]
        there = await self._reader(consumer).partitions(self._topics.events)
        if there != events or await self._topic_id(consumer) != identity:
            raise OtherLogError(f"{self._topics.events} was made anew")

    async def _topic_id(self, consumer: AIOKafkaConsumer) -> bytes:
        client: Any = consumer._client
        return await topic_id(lambda request: client.send(client.get_random_node(), request), self._topics.events)

    async def _read_back(self, partition: int, begin: int, end: int) -> list[EventRow]:
        """Read a stretch of older events; GoneError where the topic does not keep it any more."""
        async with self._back, asyncio.timeout(READ_BACK_PATIENCE):  # one connection reads one stretch after the other
            consumer = await self._back_consumer()
            topic = self._topics.events
            tail = LogFollower(consumer, topic, {partition: begin}, self._consumer_options, self._clock.monotonic)
            found: list[EventRow] = []
            try:
                while tail.offsets[partition] < end:
                    for part in await self._fetch(tail):
                        found += [one for record in part.records if (one := self._read(record)) and one.offset < end]
            except OffsetOutOfRangeError as error:
                raise GoneError(f"partition {partition} does not keep offset {begin} any more") from error
            finally:
                await tail.close()
            self._observer.read_back(len(found))
            return found

    async def _back_consumer(self) -> AIOKafkaConsumer:
        """What brings the connections for older events: a long answer there delays nothing that comes live."""
        if self._back_reader is None:
            consumer = self._consumer()
            try:
                await start_client(consumer)
                events = await self._reader(consumer).partitions(self._topics.events)
            except BaseException:
                await stop_client(consumer)
                raise
            consumer.assign(events)  # so that it keeps itself told of their leaders
            consumer.pause(*events)
            self._back_reader = consumer
        return self._back_reader

    def _read(self, record: Any, *, offset: int | None = None) -> EventRow | None:
        try:
            return read_record(record, offset=offset)
        except DecodeError as error:
            self._observer.passed_over(f"{record.topic}/{record.partition}/{record.offset}", str(error))
            return None


def _start(begin: int, end: int, back: int) -> int:
    """Where to begin reading: so far back, at the first offset of a block or of the topic."""
    return max(begin, max(end - back, 0) // BLOCK * BLOCK)
