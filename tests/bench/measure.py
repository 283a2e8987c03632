"""One contender at work: how fast it empties a topic, and how long an answer takes at a steady rate.

librdkafka produces and reads here, at little cost beside what is measured.
"""

import asyncio
import itertools
import time
from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from msgspec import Struct

from schemas import BinanceUsdm, SetLeverage, decode_event, encode
from schemas.topics import Topics
from tests.bench.contenders import KEYED_BY_LANE, PARTITIONS, Contender, Deployment, prepare

WARM = 400  # commands, answered before anything is measured
PATIENCE = 240.0


class Throughput(Struct, frozen=True):
    """How fast a contender was."""

    commands_per_second: float
    cpu_us_per_command: float
    resident_mib: float


class Latency(Struct, frozen=True):
    """Milliseconds from when a command was due to be sent until its event could be read."""

    p50: float
    p99: float
    p999: float


class Bench:
    """A contender on new topics, and both ends of them."""

    def __init__(self, name: str, deployment: Deployment, lanes: int) -> None:
        self._topics = deployment.topics
        self._is_keyed_by_lane = name in KEYED_BY_LANE
        self._contender = Contender(name, deployment)
        self._commands = (self._command(number, lanes) for number in itertools.count())
        servers: dict[str, Any] = {"bootstrap.servers": deployment.bootstrap, "log_level": 0}
        self._producer = Producer(servers | {"linger.ms": 1, "partitioner": "murmur2_random"})
        reading = {"group.id": "bench", "isolation.level": "read_committed", "fetch.wait.max.ms": 5}
        self._consumer = Consumer(servers | reading | {"enable.auto.commit": False})
        self._consumer.assign([TopicPartition(self._topics.events, number, 0) for number in range(PARTITIONS)])

    @staticmethod
    def _command(number: int, lanes: int) -> SetLeverage:
        return SetLeverage(
            command_id=f"b-{number}",
            account="desk",
            leverage=Decimal(1 + (number + number // lanes) % 100),
            target=BinanceUsdm(symbol=f"SIM{number % lanes}USDT"),
        )

    def close(self) -> None:
        """Stop the contender."""
        self._contender.stop()
        self._consumer.close()

    def warm_up(self) -> None:
        """Have it answer some, so that it has joined, connected, and made what it makes once."""
        self._send(WARM)
        self._read(WARM)

    def throughput(self, count: int) -> Throughput:
        """Give it so many at once."""
        cpu, begun = self._contender.cpu, time.perf_counter()
        self._send(count)
        self._read(count)
        took = time.perf_counter() - begun
        cpu_us = (self._contender.cpu - cpu) / count * 1e6
        return Throughput(count / took, cpu_us, self._contender.resident_mib)

    def latency(self, rate: int, seconds: float) -> Latency:
        """Send at a steady rate, whatever comes back; what is sent late counts from when it was due."""
        due: dict[str, float] = {}
        found: list[float] = []
        begun, count = time.perf_counter(), int(rate * seconds)
        while len(found) < count:
            now = time.perf_counter()
            while len(due) + len(found) < count and (at := begun + (len(due) + len(found)) / rate) <= now:
                command = next(self._commands)
                due[command.command_id] = at
                self._produce(command)
            self._producer.poll(0)
            for record in self._consumer.consume(500, 0.001):
                value = record.value()
                sent_at = due.pop(decode_event(value).command_id, None) if value else None
                if sent_at is not None:
                    found.append((time.perf_counter() - sent_at) * 1000)
            if now > begun + seconds + PATIENCE:
                raise TimeoutError(f"{len(due)} commands were not answered")
        found.sort()
        return Latency(*(found[min(count - 1, int(count * share))] for share in (0.5, 0.99, 0.999)))

    def _send(self, count: int) -> None:
        for command in itertools.islice(self._commands, count):
            self._produce(command)
        self._producer.flush()

    def _produce(self, command: SetLeverage) -> None:
        key = f"{command.key}:{command.target.lane}" if self._is_keyed_by_lane else command.key
        self._producer.produce(self._topics.commands, encode(command), key=key.encode())
        self._producer.poll(0)

    def _read(self, count: int) -> None:
        until = time.monotonic() + PATIENCE
        while count > 0:
            if time.monotonic() > until or not self._contender.is_alive:
                raise TimeoutError(f"{count} commands were not answered")
            records = self._consumer.consume(2000, 0.05)
            errors = [record.error() for record in records if record.error() is not None]
            if any(error.code() != KafkaError._PARTITION_EOF for error in errors if error is not None):
                raise RuntimeError(str(errors))
            count -= len(records)


@contextmanager
def bench(name: str, bootstrap: str, url: str, lanes: int) -> Generator[Bench]:
    """A contender on topics of its own, warm."""
    run = uuid4().hex[:8]
    topics = Topics(**{role: f"{role.replace('_', '-')}-{run}" for role in Topics.__struct_fields__})
    with TemporaryDirectory(prefix="gateway-bench-") as folder:
        deployment = Deployment(bootstrap, topics, url, Path(folder))

        asyncio.run(prepare(name, deployment))
        measured = Bench(name, deployment, lanes)
        try:
            measured.warm_up()
            yield measured
        except BaseException:
            print((deployment.folder / "log").read_text("utf-8", "replace")[-2000:])
            raise
        finally:
            measured.close()
