# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false
# aiokafka ships no types.
"""The answer topics of one partition on a real broker: fenced, written in transactions, read back committed.

One transactional id per input partition: starting the new owner's producer fences the old one's and aborts what it left
open (KIP-98). aiokafka has no KIP-447, so offsets stay outside of the transactions and `group` commits them.
"""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidTopicError,
    InvalidTransactionTimeout,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import RecordMetadata

from gateway.clock import Clock
from gateway.kafka.connection import UnreachableError
from gateway.kafka.packing import PackedBatch, SentBatch, pack
from gateway.kafka.tail import AnswerPartitions, Groups, TailReader
from gateway.kafka_clients import KafkaClients
from gateway.ownership.ledger import LogPosition
from gateway.ownership.ports import AnswerTopic, OutRecord, RecordRefusedError, Tail
from gateway.ownership.repeats import RepeatWindow
from schemas.topics import Topics

RETRY_BACKOFF_MS = 10  # between back-to-back transactions the broker answers CONCURRENT_TRANSACTIONS for a moment
MAX_REQUEST_BYTES = 8 * 1024 * 1024  # a dead letter is its command and some headers
BATCH_BYTES = 512 * 1024  # half of what a topic takes as Kafka makes it; one record may be larger
LEAST_BATCH_BYTES = 16 * 1024  # where a topic takes less
TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
REFUSALS = (*TOO_LARGE, TopicAuthorizationFailedError, UnknownTopicOrPartitionError, InvalidTopicError)


class KafkaAnswerLog:
    """Writes and reads partition `partition` of events, state and dead letters."""

    def __init__(
        self,
        *,
        clients: KafkaClients,
        topics: Topics,
        partition: int,
        transactional_id: str,
        groups: Groups,
        transaction_timeout_ms: int,
        patience: float,
        clock: Clock,
    ) -> None:
        """`patience`: seconds for one step of reading or starting."""
        self._clients = clients
        self._partition = partition
        self._transactional_id = transactional_id
        self._groups = groups
        self._transaction_timeout_ms = transaction_timeout_ms
        self._patience = patience
        self._clock = clock
        self._names: dict[AnswerTopic, str] = {
            "events": topics.events,
            "state": topics.state,
            "dead_letters": topics.dead_letters,
        }
        self._events = TopicPartition(topics.events, partition)
        self._dead_letters = TopicPartition(topics.dead_letters, partition)
        self._producer: AIOKafkaProducer | None = None
        self._batch_bytes = BATCH_BYTES
        self._end = LogPosition(0, 0)
        self._has_read = False

    async def fence(self) -> None:
        """Start a new producer under the partition's transactional id, and discard the one before it.

        Raises:
            UnreachableError: the broker will not have it, and no retry can heal that.
        """
        await self.close()
        producer = self._clients.producer(
            transactional_id=self._transactional_id,
            transaction_timeout_ms=self._transaction_timeout_ms,
            retry_backoff_ms=RETRY_BACKOFF_MS,
            max_request_size=MAX_REQUEST_BYTES,
            max_batch_size=self._batch_bytes,
            linger_ms=0,
        )
        try:
            async with asyncio.timeout(self._patience):
                await self._clients.start(producer)
        except (TransactionalIdAuthorizationFailed, InvalidTransactionTimeout) as error:
            await self._clients.stop(producer)
            raise UnreachableError(_remedy(error, self._transactional_id)) from error
        except BaseException:
            await self._clients.stop(producer)
            raise
        self._producer = producer

    async def write(self, records: Sequence[OutRecord]) -> LogPosition:
        """Commit all records in one transaction; after an exception its outcome is unknown and the producer gone."""
        producer, self._producer = self._producer, None
        if producer is None:
            raise KafkaError("no producer: fence first")
        try:
            mark = await self._transaction(producer, records)
        except BaseException:
            await self._clients.stop(producer)  # after a refusal too: its sequence numbers have a gap
            raise
        self._producer = producer
        return mark

    async def read(self, start: LogPosition, window: RepeatWindow | None = None, *, lowest: int = 0) -> Tail:
        """Read what is committed, up to the last stable offset; after `fence` nothing of ours is open below it."""
        consumer = self._clients.reader()
        try:
            async with asyncio.timeout(self._patience):
                await self._clients.start(consumer)
            both = AnswerPartitions(self._events, self._dead_letters)
            reader = TailReader(consumer, both, self._groups, patience=self._patience, clock=self._clock)
            tail = await reader.read(start, window, lowest=lowest)
        finally:
            await self._clients.stop(consumer)
        self._end, self._has_read = self._end.after(tail.end), True
        return tail._replace(end=self._end)

    async def close(self) -> None:
        """Stop the producer, in bounded time."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await self._clients.stop(producer)

    async def _transaction(self, producer: AIOKafkaProducer, records: Sequence[OutRecord]) -> LogPosition:
        await producer.begin_transaction()
        sent = await self._produce(producer, records)
        await producer.commit_transaction()
        self._see_nobody_between(sent)
        for batch in sent:
            after = batch.last + 2  # the commit marker takes an offset too
            if batch.topic == "events":
                self._end = self._end._replace(events=max(self._end.events, after))
            elif batch.topic == "dead_letters":
                self._end = self._end._replace(dead_letters=max(self._end.dead_letters, after))
        return self._end

    def _see_nobody_between(self, sent: Sequence[SentBatch]) -> None:
        """Raise where the first event is not behind our last one: reading says whether another group answers."""
        first = next((batch.first for batch in sent if batch.topic == "events"), None)
        if first is not None and self._has_read and first > self._end.events:
            raise KafkaError(f"somebody else wrote to {self._names['events']} between our answers")

    async def _produce(self, producer: AIOKafkaProducer, records: Sequence[OutRecord]) -> list[SentBatch]:
        """Send all records and see each taken: aiokafka commits a transaction some of whose records were refused.

        Raises:
            RecordRefusedError: one was not, and the transaction is aborted.
        """
        batches = pack(producer.create_batch, records)
        results = await asyncio.gather(*await self._send(producer, batches), return_exceptions=True)
        for batch, result in zip(batches, results, strict=True):
            if isinstance(result, TOO_LARGE):
                self._batch_bytes = max(LEAST_BATCH_BYTES, self._batch_bytes // 2)
            if isinstance(result, REFUSALS):
                await producer.abort_transaction()
                raise RecordRefusedError(batch.topic, _refusal(result), is_too_large=isinstance(result, TOO_LARGE))
            if isinstance(result, BaseException):
                raise result
        taken = [result.offset for result in results if not isinstance(result, BaseException)]
        return [batch.sent(first) for batch, first in zip(batches, taken, strict=True)]

    async def _send(
        self, producer: AIOKafkaProducer, batches: Sequence[PackedBatch]
    ) -> "list[asyncio.Future[RecordMetadata]]":
        """Hand the batches to the client; one that is larger than a request is a future of the broker's refusal."""
        sent: list[asyncio.Future[RecordMetadata]] = []
        for batch in batches:
            if batch.builder.size() > MAX_REQUEST_BYTES:
                refused: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
                refused.set_exception(MessageSizeTooLargeError())
                sent.append(refused)
            else:
                topic = self._names[batch.topic]
                one = await producer.send_batch(batch.builder, topic, partition=self._partition)
                one.add_done_callback(_see)  # nobody else does where the next batch takes too long
                sent.append(one)
        return sent


def _see(sent: "asyncio.Future[RecordMetadata]") -> None:
    """Retrieve an exception, which asyncio complains of else."""
    if not sent.cancelled():
        sent.exception()


def _remedy(error: KafkaError, transactional_id: str) -> str:
    if isinstance(error, TransactionalIdAuthorizationFailed):
        return f"Kafka: this user may not Write with the transactional id {transactional_id}; give it that right"
    return "kafka.transaction_timeout_ms: is above the broker's transaction.max.timeout.ms; lower it, or raise that"


def _refusal(error: BaseException) -> str:
    if isinstance(error, TopicAuthorizationFailedError):
        return "this user has no right to Write there"
    return f"{type(error).__name__}: {error}"
