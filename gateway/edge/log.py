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
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from gateway.client.reading import MissingTopicError, Range, TopicReader
from gateway.clock import Clock
from gateway.edge.history import BLOCK, GoneError, History
from gateway.edge.hub import Hub
from gateway.edge.position import Positions
from gateway.edge.record import Logged, read_record
from gateway.edge.topic_id import topic_id
from gateway.kafka_clients import start_client, stop_client
from schemas import DecodeError
from schemas.topics import Topics

KEPT = 50_000  # events held in memory
LOOK_BACK = KEPT // 2  # offsets before the end, over all partitions, from which on events are read at the start
PATIENCE = 10.0  # seconds for one step of reading
BEAT = 0.25  # seconds between two questions where the log ends
LOOK_EVERY = 20  # beats between two looks where it begins, and whether it is the same one
BEAT_PATIENCE = 5.0
POLL_MS = 100
FETCH_WAIT_MS = 100  # a broker answers one connection in order: a beat waits behind a fetch
GATHER = 0.01  # seconds in which events gather after some came: each fetch costs a millisecond of the processor
BATCH = 2_000
SLICE = 200  # events between two turns of the loop
TRY_AGAIN = 0.5
MOST_LAG = 1e6  # seconds
DOUBTS = 20


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
        clock: Clock,
        observer: LogObserver,
        replaced: Callable[[Hub], None],
    ) -> None:
        """Take the parts.

        Args:
            topics: the gateway's.
            options: aiokafka's; one mapping for all, as hosts that do not answer are taken out of it.
            consumer_options: further ones of consumers.
            clock: the time.
            observer: who is told.
            replaced: called with a hub that is not fed any more.
        """
        self.hub: Hub | None = None
        self._topics = topics
        self._options = options
        self._consumer_options = consumer_options
        self._clock = clock
        self._observer = observer
        self._replaced = replaced
        self._was_loaded = False
        self._current_at: float | None = None
        self._asked: tuple[float, dict[TopicPartition, int]] | None = None
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
                    await self._follow(consumer)
                except (OffsetOutOfRangeError, OtherLogError) as error:
                    self._start_anew(str(error))
                except MissingTopicError as error:
                    if not self._was_loaded:
                        raise
                    self._observer.lost_log(str(error))
                    await asyncio.sleep(TRY_AGAIN)
                except (KafkaError, TimeoutError, OSError) as error:
                    self._observer.lost_log(f"{type(error).__name__}: {error}")
                    self._start_anew(None)
                    await asyncio.sleep(TRY_AGAIN)
                finally:
                    await stop_client(consumer)
        finally:
            if self._back_reader is not None:
                await stop_client(self._back_reader)

    def _start_anew(self, why: str | None) -> None:
        hub, self.hub, self._current_at, self._asked = self.hub, None, None, None
        if why is not None:
            self._observer.other_log(why)
        if hub is not None:
            self._replaced(hub)

    def _consumer(self) -> AIOKafkaConsumer:
        reading: dict[str, Any] = {"fetch_max_wait_ms": FETCH_WAIT_MS, **self._consumer_options}
        return AIOKafkaConsumer(
            **self._options,
            **reading,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
        )

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        async with asyncio.timeout(PATIENCE):
            events = await self._reader(consumer).partitions(self._topics.events)
            identity = await topic_id(consumer._client, self._topics.events)
            begins = await consumer.beginning_offsets(events)
            ends = await consumer.end_offsets(events)
        starts = [_start(begins[tp], ends[tp], LOOK_BACK // len(events)) for tp in events]
        log_id = identity + self._topics.events.encode()
        hub = Hub(
            History(starts, self._read_back, most=KEPT),
            Positions(log_id, len(events)),
            asyncio.get_running_loop().call_later,
            lambda: min(self.lag, MOST_LAG),
        )
        hub.history.begins = [begins[tp] for tp in events]
        await self._load_state(consumer, hub)
        consumer.assign(events)
        for tp, start in zip(events, starts, strict=True):
            consumer.seek(tp, start)
        beats = asyncio.create_task(self._beat(consumer, hub, events, identity))
        try:
            while not beats.done():
                await self._poll(consumer, hub, events)
            beats.result()
        finally:
            beats.cancel()

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

    async def _poll(self, consumer: AIOKafkaConsumer, hub: Hub, events: Sequence[TopicPartition]) -> None:
        fetched = await self._fetch(consumer, events)
        for tp, records in fetched.items():
            for begin in range(0, len(records), SLICE):
                part = records[begin : begin + SLICE]
                logged = [one for record in part if (one := self._read(record)) is not None]
                hub.take(tp.partition, logged, part[-1].offset + 1)
                hub.settle()
                if len(records) > SLICE:
                    await asyncio.sleep(0)
        for tp in events:
            hub.take(tp.partition, (), await consumer.position(tp))
        if self._asked is not None and all(hub.history.ends[tp.partition] >= end for tp, end in self._asked[1].items()):
            self._current_at, self._asked = self._asked[0], None
            if self.hub is None:
                self.hub, self._was_loaded = hub, True
                self._observer.loaded(hub.lane_count)
        if fetched:
            await asyncio.sleep(GATHER)

    async def _fetch(
        self, consumer: AIOKafkaConsumer, events: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, Sequence[Any]]:
        try:
            return await consumer.getmany(*events, timeout_ms=POLL_MS, max_records=BATCH)
        except OffsetOutOfRangeError:
            raise
        except KafkaError as error:  # the consumer goes on where it was, once the broker does
            self._observer.lost_log(f"{type(error).__name__}: {error}")
            await asyncio.sleep(TRY_AGAIN)
            return {}

    async def _beat(self, consumer: AIOKafkaConsumer, hub: Hub, events: list[TopicPartition], identity: bytes) -> None:
        """Ask again and again where the log begins and ends, and whether it is the same one."""
        doubts = beats = 0
        while True:
            asked_at, stood = self._clock.monotonic(), hub.offsets
            try:
                async with asyncio.timeout(BEAT_PATIENCE):
                    ends = await consumer.end_offsets(events)
                    if beats % LOOK_EVERY == 0:
                        await self._look(consumer, hub, events, identity)
                    beats += 1
            except (KafkaError, TimeoutError, OSError) as error:
                self._observer.lost_log(f"Kafka does not say where the log ends: {str(error) or type(error).__name__}")
            except MissingTopicError as error:
                raise OtherLogError(str(error)) from error
            else:
                is_short = any(stood[tp.partition] > end for tp, end in ends.items())
                doubts = doubts + 1 if is_short else 0  # a new leader may not know at once how far it was read
                if doubts >= DOUBTS:
                    raise OtherLogError(f"{self._topics.events} ends before where we are")
                if self._asked is None and not is_short:
                    self._asked = asked_at, ends
            await asyncio.sleep(BEAT)

    async def _look(self, consumer: AIOKafkaConsumer, hub: Hub, events: list[TopicPartition], identity: bytes) -> None:
        """Look where the log begins now; OtherLogError where it is not the one that was followed."""
        begins = await consumer.beginning_offsets(events)
        hub.history.begins = [begins[tp] for tp in events]
        there = await self._reader(consumer).partitions(self._topics.events)
        if there != events or await topic_id(consumer._client, self._topics.events) != identity:
            raise OtherLogError(f"{self._topics.events} was made anew")

    async def _read_back(self, partition: int, begin: int, end: int) -> list[Logged]:
        """Read a stretch of older events; GoneError where the topic does not keep it any more."""
        async with self._back:  # one connection reads one stretch after the other
            if self._back_reader is None:
                consumer = self._consumer()
                try:
                    async with asyncio.timeout(PATIENCE):
                        await start_client(consumer)
                except BaseException:
                    await stop_client(consumer)
                    raise
                self._back_reader = consumer
            reader = self._reader(self._back_reader)
            found: list[Logged] = []
            try:
                async for records in reader.forwards(self._topics.events, {partition: Range(begin, end)}):
                    found += [one for record in records if (one := self._read(record)) is not None]
            except OffsetOutOfRangeError as error:
                raise GoneError(f"partition {partition} does not keep offset {begin} any more") from error
            self._observer.read_back(len(found))
            return found

    def _read(self, record: Any, *, offset: int | None = None) -> Logged | None:
        try:
            return read_record(record, offset=offset)
        except DecodeError as error:
            self._observer.passed_over(f"{record.topic}/{record.partition}/{record.offset}", str(error))
            return None


def _start(begin: int, end: int, back: int) -> int:
    """Where to begin reading: so far back, at the first offset of a block or of the topic."""
    return max(begin, max(end - back, 0) // BLOCK * BLOCK)
