# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportUnknownParameterType=false
# aiokafka ships no types.
"""Writes new commands and dispositions of one partition in transactions that only one process at a time can make.

Starting one fences whoever has the same partition, and ends what he left open: what is read committed after that is
all there ever will be of his.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced

from gateway.kafka_clients import start_client, stop_client
from schemas.disposition import DeadLetterDisposition, encode_disposition
from schemas.topics import Topics

PATIENCE = 30.0  # seconds for one transaction
LARGEST_REQUEST = 4 * 1024 * 1024  # bytes; the broker has the last word on what a record may be


class TakenOverError(Exception):
    """Raised where somebody else began to work on the same partition of letters; nothing is done twice."""


class NewCommand(NamedTuple):
    """A command's record; without a partition it goes where its key says."""

    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    partition: int | None


Write = tuple[NewCommand | None, DeadLetterDisposition]


class LetterPublisher:
    """The transactions of one partition; use it by `open_publisher`."""

    def __init__(self, producer: AIOKafkaProducer, topics: Topics, partition: int) -> None:
        self._producer = producer
        self._topics = topics
        self._partition = partition

    async def publish(self, writes: Sequence[Write]) -> None:
        """Write all of it or nothing, and return when it is committed.

        Raises:
            TakenOverError: somebody else has the partition now.
            KafkaError, TimeoutError: it is not known whether it was committed; reading will tell.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                await self._producer.begin_transaction()
                sent: list[Any] = []
                for command, disposition in writes:
                    if command is not None:
                        sent.append(await self._send_command(command))
                    sent.append(await self._send_disposition(disposition))
                await self._producer.flush()
                for result in await asyncio.gather(*sent, return_exceptions=True):
                    if isinstance(result, BaseException):  # aiokafka would commit the others
                        raise result
                await self._producer.commit_transaction()
        except (ProducerFenced, IllegalOperation) as error:
            raise TakenOverError(
                f"another one began to work on partition {self._partition} of {self._topics.dead_letters}; "
                "what was published is recorded, and he leaves it out"
            ) from error
        except KafkaError:
            with suppress(KafkaError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await self._producer.abort_transaction()
            raise

    async def _send_command(self, command: NewCommand) -> Any:
        return await self._producer.send(
            self._topics.commands,
            command.value,
            key=command.key,
            headers=list(command.headers),
            partition=command.partition,
        )

    async def _send_disposition(self, disposition: DeadLetterDisposition) -> Any:
        return await self._producer.send(
            self._topics.dispositions,
            encode_disposition(disposition),
            key=disposition.letter.encode(),
            partition=self._partition,
        )


@asynccontextmanager
async def open_publisher(
    options: Mapping[str, Any], topics: Topics, *, group: str, partition: int
) -> AsyncGenerator[LetterPublisher]:
    """Take the partition over from whoever has it, and yield the one who can write there now."""
    producer = AIOKafkaProducer(
        **options,
        acks="all",
        enable_idempotence=True,
        transactional_id=f"{group}-redrive-{partition}",
        transaction_timeout_ms=30_000,
        max_request_size=LARGEST_REQUEST,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            await start_client(producer)
        yield LetterPublisher(producer, topics, partition)
    finally:
        await stop_client(producer)
