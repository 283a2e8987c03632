"""What `gateway.kafka` uses of aiokafka's clients, over the broker on paper: the transactional producer, the reader.

They fail as the library's do: a request whose answer is lost is sent again, a record that is refused fails alone, and a
transaction is committed though some of its records were refused.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import ConcurrentTransactions, KafkaConnectionError, KafkaError, KafkaTimeoutError
from aiokafka.structs import OffsetAndTimestamp

from tests.kit.clocks import NOON
from tests.kit.world import running_process
from tests.simulation.broker import Broker, ProducerId, Written
from tests.simulation.member import SimulatedMember

T = TypeVar("T")

RETRY = 0.02  # seconds until a request whose answer did not come is sent again
GOODBYE = 0.5
FETCHED = 50  # records at most in one answer to a reader
BATCHED = 8  # records at most in one batch


class SimulatedClients:
    """In the place of `gateway.kafka_clients.KafkaClients`."""

    def __init__(self, broker: Broker, request_timeout: float) -> None:
        self._broker = broker
        self._request_timeout = request_timeout

    def consumer(self, **options: Any) -> SimulatedMember:
        return SimulatedMember(self._broker, options)

    def reader(self) -> "SimulatedReader":
        return SimulatedReader(self._broker)

    def producer(self, *, transactional_id: str, transaction_timeout_ms: int, **_: Any) -> "SimulatedProducer":
        return SimulatedProducer(
            self._broker, transactional_id, transaction_timeout_ms / 1000, patience=self._request_timeout
        )

    async def start(self, client: Any) -> None:
        await client.start()

    async def stop(self, client: Any) -> None:
        stopping = asyncio.ensure_future(client.stop())
        await asyncio.wait([stopping], timeout=GOODBYE)
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)


class Taken(NamedTuple):
    """What a producer tells of a record that was taken."""

    offset: int


class SimulatedBatch:
    """Records on their way, as many as a batch takes."""

    def __init__(self) -> None:
        self.records: list[Written] = []

    def append(
        self, *, timestamp: None, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> object:
        if len(self.records) >= BATCHED:
            return None
        self.records.append(Written(key, value, headers))
        return self

    def record_count(self) -> int:
        return len(self.records)

    def size(self) -> int:
        return 0  # no record on paper is larger than a request


class SimulatedProducer:
    """One transactional id, until another fences it."""

    def __init__(self, broker: Broker, transactional_id: str, transaction_timeout: float, *, patience: float) -> None:
        self._broker = broker
        self._name = transactional_id
        self._transaction_timeout = transaction_timeout
        self._patience = patience
        self._epoch = 0
        self._requests = 0
        self._sending: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        running_process().weak_point()
        await self._insist(lambda: None)  # who coordinates the id?
        self._epoch = await self._insist(lambda: self._broker.fence(self._name))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def begin_transaction(self) -> None:
        self._sending = {}

    def create_batch(self) -> "SimulatedBatch":
        return SimulatedBatch()

    async def send_batch(self, batch: "SimulatedBatch", topic: str, *, partition: int) -> asyncio.Future[Taken]:
        taken: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        before = self._sending.get((topic, partition))
        if before is not None:
            await asyncio.wait([before])
        self._requests += 1
        task = asyncio.create_task(self._produce(self._requests, (topic, partition), batch.records, taken))
        self._sending[topic, partition] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return taken

    async def commit_transaction(self) -> None:
        producer = self._id
        await self._insist(lambda: self._broker.commit(producer))

    async def abort_transaction(self) -> None:
        producer = self._id
        await self._insist(lambda: self._broker.abort(producer))

    @property
    def _id(self) -> ProducerId:
        return ProducerId(self._name, self._epoch)

    async def _produce(
        self, request: int, place: tuple[str, int], records: list[Written], taken: asyncio.Future[Taken]
    ) -> None:
        producer = self._id
        try:
            async with asyncio.timeout(self._patience):
                first = await self._insist(
                    lambda: self._broker.append(producer, request, place, records, self._transaction_timeout)
                )
        except (KafkaError, TimeoutError) as error:
            taken.set_exception(KafkaTimeoutError() if isinstance(error, TimeoutError) else error)
        else:
            taken.set_result(Taken(first))

    async def _insist(self, request: Callable[[], T]) -> T:
        while True:
            try:
                return await self._broker.ask(request)
            except (KafkaConnectionError, ConcurrentTransactions):
                await asyncio.sleep(RETRY)


class ReadRecord(NamedTuple):
    """A record as a reader is handed it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class SimulatedReader:
    """A consumer of no group, which sees what is committed."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._positions: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        await self._broker.ask(lambda: None)

    async def stop(self) -> None:
        return

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._positions = dict.fromkeys(partitions, 0)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self._positions[tp] = offset

    async def position(self, tp: TopicPartition) -> int:
        return self._positions[tp]

    async def end_offsets(self, wanted: list[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._broker.ask(lambda: {tp: self._broker.stable_end(*tp) for tp in wanted})

    async def beginning_offsets(self, wanted: list[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._broker.ask(lambda: {tp: self._broker.begin(*tp) for tp in wanted})

    async def offsets_for_times(
        self, wanted: dict[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        return await self._broker.ask(lambda: {tp: self._since(tp, time_ms) for tp, time_ms in wanted.items()})

    async def getmany(
        self, tp: TopicPartition, *, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[ReadRecord]]:
        start = self._positions[tp]
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                found = await self._broker.ask(lambda: self._broker.read(*tp, start, min(FETCHED, max_records)))
        except (KafkaConnectionError, TimeoutError):
            return {}  # the library goes on trying behind our back
        if self._positions[tp] != start:
            return {}
        if start < self._broker.begin(*tp):
            self._positions[tp] = self._broker.begin(*tp)  # out of range: `auto_offset_reset`
            return {}
        if not found:
            return {}
        self._positions[tp] = found[-1][0] + 1
        return {
            tp: [
                ReadRecord(offset, _milliseconds(entry.at), entry.record.key, entry.record.value, entry.record.headers)
                for offset, entry in found
                if entry.record is not None and entry.transaction.status == "committed"
            ]
        }

    def _since(self, tp: TopicPartition, time_ms: int) -> OffsetAndTimestamp | None:
        log = self._broker.answers[tp.partition][tp.topic]
        found = ((offset, _milliseconds(entry.at)) for offset, entry in enumerate(log))
        begin = self._broker.begin(*tp)
        return next((OffsetAndTimestamp(*one) for one in found if one[0] >= begin and one[1] >= time_ms), None)


def _milliseconds(at: float) -> int:
    return int((NOON + at) * 1000)
