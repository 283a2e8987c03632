# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# aiokafka ships no types.
"""Commands to Kafka: in the order they are handed over, acknowledged by all in-sync replicas."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, TopicAuthorizationFailedError

from gateway.kafka_clients import start_client, stop_client
from schemas import SetLeverage, encode
from schemas.codec import JSON
from schemas.headers import CONTENT_TYPE

PATIENCE = 10.0  # seconds


class NotTakenError(Exception):
    """Raised where Kafka did not confirm a command: it may have it all the same."""


class Publisher:
    """One producer for all who come."""

    def __init__(self, topic: str, options: Mapping[str, Any]) -> None:
        self._topic = topic
        self._options = options
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def hand_over(self, command: SetLeverage, trace: Iterable[tuple[str, bytes]] = ()) -> Awaitable[None]:
        """Hand a command over; what is returned is done when Kafka has it, and raises NotTakenError else."""
        headers = [(CONTENT_TYPE, JSON.encode()), *trace]
        try:
            async with asyncio.timeout(PATIENCE):
                producer = await self._started()
                sent: asyncio.Future[Any] = await producer.send(
                    self._topic, encode(command), key=command.key.encode(), headers=headers
                )
        except (KafkaError, TimeoutError, OSError) as error:
            raise _not_taken(command, error) from error
        return self._confirmed(command, producer, sent)

    async def close(self) -> None:
        """Send what is waiting, and disconnect, in bounded time."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_client(producer)

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            async with self._starting:
                if self._producer is None:
                    producer = AIOKafkaProducer(**self._options, acks="all", enable_idempotence=True)
                    try:
                        await start_client(producer)
                    except BaseException:
                        await stop_client(producer)
                        raise
                    self._producer = producer
        return self._producer

    async def _confirmed(self, command: SetLeverage, producer: AIOKafkaProducer, sent: asyncio.Future[Any]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.shield(sent)
        except (KafkaError, TimeoutError, OSError) as error:
            sent.add_done_callback(_look)
            if not _is_of_one_record(error) and self._producer is producer:
                self._producer = None  # it may be in a state that it never leaves
                await stop_client(producer)
            raise _not_taken(command, error) from error


def _is_of_one_record(error: BaseException) -> bool:
    return isinstance(error, MessageSizeTooLargeError | TopicAuthorizationFailedError)


def _look(sent: asyncio.Future[Any]) -> None:
    """Take note of what became of it, so that nothing complains of an error that nobody looked at."""
    if not sent.cancelled():
        sent.exception()


def _not_taken(command: SetLeverage, error: BaseException) -> NotTakenError:
    why = str(error) or type(error).__name__
    what = f"Kafka did not confirm {command.command_id} ({why}); it may have it all the same"
    return NotTakenError(f"{what}: send it again with the same id")
