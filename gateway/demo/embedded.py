"""A broker in this process's memory, for the demo and nothing else: librdkafka's mock cluster, forgotten at exit.

Before it comes only the wish to see the gateway without Kafka; after it, whatever speaks Kafka's protocol. It is no
Kafka: it fences nobody, hides no aborted records, holds nothing on disk, and lets one member join a group once.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, Final

import msgspec

from schemas.topics import Topics

PARTITIONS: Final = 4
"""How many every topic has; the mock cluster knows no other number."""
CONSUMER_OPTIONS: Final[Mapping[str, Any]] = {"check_crcs": False, "fetch_max_wait_ms": 20}
"""What aiokafka's consumers need here: its transaction markers carry no checksum, a fetch that waits wakes late."""
_PATIENCE = 10.0


class EmbeddedMissingError(Exception):
    """Raised where the extra `embedded` is not installed; its text says how to."""


@asynccontextmanager
async def embedded_broker(topics: Topics) -> AsyncGenerator[str]:
    """Run one with these topics, and yield its `host:port` on loopback; EmbeddedMissingError without the extra."""
    try:
        confluent_kafka: Any = import_module("confluent_kafka")
    except ImportError as error:
        raise EmbeddedMissingError(
            "the embedded broker is an extra: pip install 'leverage-gateway[embedded]'"
        ) from error
    # The cluster lives as long as this producer, in threads of librdkafka's own.
    owner = confluent_kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "unused", "log_level": 3})
    yield await asyncio.to_thread(_make, owner, topics)
    del owner


def _make(owner: Any, topics: Topics) -> str:
    """Asking for a topic makes it; there is no CreateTopics."""
    names: dict[str, str] = msgspec.structs.asdict(topics)
    metadata = [owner.list_topics(name, timeout=_PATIENCE) for name in names.values()]
    return ",".join(f"{broker.host}:{broker.port}" for broker in metadata[0].brokers.values())
