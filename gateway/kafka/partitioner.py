# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# aiokafka ships no types.
"""Where Kafka puts a key, and how many partitions the commands' topic has."""

from functools import lru_cache

from aiokafka import AIOKafkaConsumer
from aiokafka.partitioner import murmur2

from gateway.settings.tree import KafkaSettings

KEYS = 4_096  # whose hashes are remembered: accounts come again and again, and the library computes them in Python


class Partitioner:
    """Kafka's own (murmur2, as the Java client and aiokafka have it), over what was last seen of the topic."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._topic = settings.topics.commands
        self._expected = settings.partitions
        self._count = settings.partitions
        self._hash = lru_cache(KEYS)(murmur2)

    def count(self, consumer: AIOKafkaConsumer) -> None:
        """Take over how many partitions a consumer knows of."""
        known = consumer.partitions_for_topic(self._topic)  # None after an error in metadata
        self._count = len(known) if known else self._count

    def partition_of(self, key: bytes) -> int:
        """The partition that a key belongs to."""
        return (self._hash(key) & 0x7FFFFFFF) % self._count

    def change(self) -> str | None:
        """How the number of partitions, as last counted, differs from the settings'; None: not at all."""
        if self._count == self._expected:
            return None
        return f"{self._topic} has {self._count} partitions, not the {self._expected} of kafka.partitions"
