# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false
# aiokafka ships no types.
"""Every replica follows the policy topic, and keeps asking where it ends: so it knows as of when it knows all.

What is written holds within a second: a look begins every `LOOK_EVERY`, and `policy.guard` lets no call begin on what
was asked for longer ago than its `FRESH_FOR`. `app` owns the task; nothing that goes wrong here ends it, and while it
hangs no call begins.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from gateway.clock import Clock
from gateway.kafka.policy_topic import policy_consumer, take_entry
from gateway.kafka_clients import KafkaClients
from gateway.policy.board import Board, Ruling
from gateway.policy.guard import PolicyGuard
from gateway.tasks import lasting

LOOK_EVERY = 0.2  # seconds
LOOK_PATIENCE = 0.5
POLL_MS = 100
FAILED_LOOKS = 6  # in a row, some three seconds: then the topic counts as lost
LOOKS_A_CONSUMER = 3  # failed ones in a row, before the connection is made anew
PAUSE = 0.3  # seconds after a failed look
CLOSE_PATIENCE = 2.0  # seconds for questions under way
RECONNECT = 0.5  # seconds before the connection is made anew


class PolicyObserver(Protocol):
    """Who is told what becomes of the policy; none may raise or block."""

    def ruled(self, ruling: Ruling) -> None:
        """Something else holds from now on."""
        ...

    def refused_policy(self, key: str, objection: str) -> None:
        """A record of the topic was not taken."""
        ...

    def lost_policy(self, error: str, freezes_in: float) -> None:
        """The topic cannot be read; what is known holds for so many seconds."""
        ...

    def froze_blind(self) -> None:
        """The topic was not read for too long: everything is frozen."""
        ...

    def found_policy(self) -> None:
        """The topic is read again."""
        ...


class PolicyFollower:
    """Keeps a guard's ruling what the topic says."""

    def __init__(
        self,
        topic: str,
        *,
        clients: KafkaClients,
        board: Board,
        guard: PolicyGuard,
        freeze_after: float,
        clock: Clock,
        observer: PolicyObserver,
    ) -> None:
        """Take the parts.

        Args:
            topic: the policy's.
            clients: of the cluster.
            board: takes the records in.
            guard: is told what holds, and as of when.
            freeze_after: seconds for which a lost topic is gone on without.
            clock: the time.
            observer: is told what becomes of the policy.
        """
        self._tp = TopicPartition(topic, 0)
        self._clients = clients
        self._board = board
        self._guard = guard
        self._freeze_after = freeze_after
        self._clock = clock
        self._observer = observer
        self._failed = 0
        self._was_blind = False
        self._asking: set[asyncio.Future[dict[TopicPartition, int]]] = set()
        self._is_current = asyncio.Event()
        self.trouble = "no answer yet"

    async def current(self) -> None:
        """Wait until all is known that the topic held when it was asked."""
        await self._is_current.wait()

    async def learn(self, patience: float, *, or_freeze: bool) -> None:
        """Wait for `current` at most so many seconds; then go on with everything frozen, or KafkaError with why."""
        try:
            async with asyncio.timeout(patience):
                await self.current()
        except TimeoutError:
            if not or_freeze:
                remedy = 'policy.unreadable_at_start = "freeze" starts with everything frozen'
                raise KafkaError(
                    f"the policy topic {self._tp.topic} cannot be read: {self.trouble}; {remedy}"
                ) from None
            self._guard.is_lost = self._was_blind = True
            self._observer.lost_policy(self.trouble, 0.0)
            self._observer.froze_blind()
            self._guard.tell()

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            try:
                await lasting(self._follow_by_consumer)
            except Exception as error:  # noqa: BLE001 - whatever it is, a kill switch must go on listening
                self._missed(error)
            await asyncio.sleep(RECONNECT)

    async def _follow_by_consumer(self) -> None:
        async with policy_consumer(self._tp.topic, self._clients) as consumer:
            try:
                await self._follow(consumer)
            finally:
                await self._close()

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        """Read and look, until looking has failed several times in a row."""
        failed = 0
        while failed < LOOKS_A_CONSUMER:
            asked_at = self._clock.monotonic()
            try:
                await self._look(consumer, asked_at)
            except Exception as error:  # noqa: BLE001 - as above
                failed += 1
                self._missed(error)
                await asyncio.sleep(PAUSE)
            else:
                failed = 0
                await self._read(consumer, until=asked_at + LOOK_EVERY)

    async def _look(self, consumer: AIOKafkaConsumer, asked_at: float) -> None:
        """Read up to where the topic ended at `asked_at`."""
        end = await self._end(consumer)
        if end < await consumer.position(self._tp):  # the topic was made anew; what was frozen stays so
            await consumer.seek_to_beginning()
        while await consumer.position(self._tp) < end:
            async with asyncio.timeout(LOOK_PATIENCE):
                self._take(await consumer.getmany(self._tp, timeout_ms=POLL_MS))
        self._found(asked_at)

    async def _end(self, consumer: AIOKafkaConsumer) -> int:
        """Where the topic ends; a question that takes too long is not cut off: it would leave its connection open."""
        asking = asyncio.ensure_future(consumer.end_offsets([self._tp]))
        self._asking.add(asking)
        asking.add_done_callback(self._asked)
        done, _ = await asyncio.wait([asking], timeout=LOOK_PATIENCE)
        if not done:
            raise TimeoutError("Kafka does not say where the topic ends")
        return int(asking.result()[self._tp])

    def _asked(self, asking: asyncio.Future[dict[TopicPartition, int]]) -> None:
        self._asking.discard(asking)
        if not asking.cancelled():
            asking.exception()  # whoever waited was told

    async def _close(self) -> None:
        """Let questions that nobody waits for any more come to their end."""
        if self._asking:
            await asyncio.wait(self._asking, timeout=CLOSE_PATIENCE)
        for asking in tuple(self._asking):
            asking.cancel()

    async def _read(self, consumer: AIOKafkaConsumer, *, until: float) -> None:
        """Take in what comes until it is time to look again."""
        while (left := until - self._clock.monotonic()) > 0:
            self._take(await consumer.getmany(self._tp, timeout_ms=max(1, int(left * 1000))))

    def _take(self, batches: Mapping[TopicPartition, list[Any]]) -> None:
        records = batches.get(self._tp, [])
        for record in records:
            entry = take_entry(self._board, record)
            if entry.objection is not None:
                self._observer.refused_policy(entry.key, entry.objection)
        if records:
            self._guard.rule(self._board.ruling)
            self._observer.ruled(self._board.ruling)

    def _found(self, asked_at: float) -> None:
        was_lost = self._guard.is_lost
        self._failed = 0
        self._was_blind = False
        self._guard.confirmed(asked_at)
        self._is_current.set()
        if was_lost:
            self._observer.found_policy()
            self._guard.tell()

    def _missed(self, error: Exception) -> None:
        self._failed += 1
        self.trouble = str(error) or type(error).__name__
        if self._failed >= FAILED_LOOKS and not self._guard.is_lost and self._is_current.is_set():
            self._guard.is_lost = True
            self._observer.lost_policy(self.trouble, max(0.0, self._freeze_after - self._guard.age))
        if self._guard.is_blind and not self._was_blind:
            self._was_blind = True
            self._observer.froze_blind()
            self._guard.tell()
