# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001 - aiokafka shows its client to nobody
"""Whether the topic of commands is still the one whose offsets we know; `topic_id` asks.

Offsets of a topic that was deleted and made again mean other commands. Where the new one has outgrown them nobody says
so: neither a fetch nor a commit of aiokafka's names a topic's id (KIP-516). So who fetched asks before the records are
used, and a commit says of which topic its offset is.
"""

import asyncio
from math import inf
from typing import Any

from aiokafka import AIOKafkaConsumer

from gateway.clock import Clock
from gateway.kafka.topic_id import NO_ID, topic_id

SEEN_FOR = 0.02  # seconds after a question; no topic is deleted, made again and outgrown in less
MARK = " @"


class TopicMadeAnewError(Exception):
    """Raised where the topic of commands is another one than we joined for."""


class CommandsTopic:
    """The topic as one membership found it."""

    def __init__(self, consumer: AIOKafkaConsumer, name: str, *, patience: float, clock: Clock) -> None:
        self._consumer = consumer
        self._name = name
        self._patience = patience
        self._clock = clock
        self._id = NO_ID
        self._fresh_until = -inf

    @property
    def is_fresh(self) -> bool:
        """Whether it was asked for so lately that there was no time to make it anew, or asking is of no use."""
        return self._is_nameless or self._clock.monotonic() < self._fresh_until

    @property
    def _is_nameless(self) -> bool:
        """Whether the brokers are too old to have ids."""
        return self._fresh_until > -inf and self._id == NO_ID

    async def check(self) -> None:
        """Ask the group's coordinator for its id: a question to a leader waits behind the fetch that is under way.

        Raises:
            TopicMadeAnewError: it is another one.
            KafkaError, TimeoutError: nobody says.
        """
        if self._is_nameless:  # each question would make aiokafka look for the coordinator anew
            return
        asked_at = self._clock.monotonic()
        coordinator: Any = self._consumer._coordinator
        async with asyncio.timeout(self._patience):
            found = await topic_id(coordinator._send_req, self._name)
        if found != NO_ID:  # while brokers are updated, some have none yet
            if self._id not in (NO_ID, found):
                raise TopicMadeAnewError(f"{self._name} was deleted and made again")
            self._id = found
        self._fresh_until = asked_at + SEEN_FOR  # not before: what is another one is so for whoever asks next

    def marked(self, metadata: str) -> str:
        """A commit's metadata, with the topic that its offset is of."""
        return metadata if self._id == NO_ID else f"{metadata}{MARK}{self._id.hex()}"

    def is_of(self, metadata: str) -> bool:
        """Whether a commit's offset is of this topic, as far as it says so."""
        mark = metadata.partition(MARK)[2]
        return not mark or self._id == NO_ID or mark == self._id.hex()


def unmarked(metadata: str) -> str:
    """The metadata without the topic."""
    return metadata.partition(MARK)[0]
