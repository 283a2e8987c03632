"""Topics full of dead letters, and the command line that works on them as processes that may be killed."""

import asyncio
import os
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from gateway.client.reading import open_reader
from gateway.kafka.topics import create_topics
from gateway.settings.tree import KafkaSettings, Settings
from schemas import BinanceUsdm, LeverageRejected, SetLeverage, Timestamp, decode_command, encode
from schemas.dead_letter import LetterErrors
from schemas.headers import COMMAND_OFFSET, COMMAND_PARTITION
from schemas.topics import Topics

PARTITIONS = 4
ACCOUNTS = 40


class Estate:
    """One set of topics on a broker."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        run = uuid4().hex[:8]
        self.bootstrap = bootstrap
        self.folder = folder
        self.topics = Topics(**{role: f"{role}-{run}" for role in Topics.__struct_fields__})

    def fresh(self) -> "Estate":
        """Another set of topics on the same broker."""
        return Estate(self.bootstrap, self.folder)

    async def create(self) -> None:
        """Make the topics."""
        kafka = KafkaSettings(bootstrap_servers=self.bootstrap, topics=self.topics, partitions=PARTITIONS)
        await create_topics(Settings(kafka=kafka), base_dir=Path())

    async def write(self, *, letters: int, events: int) -> None:
        """Write letters of as many lanes, each with its event; and events of others up to their number."""
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=20, max_batch_size=262_144)
        await producer.start()
        try:
            for number in range(max(letters, events)):
                partition, offset = number % PARTITIONS, number // PARTITIONS
                command = _command(number)
                place = [(COMMAND_PARTITION, b"%d" % partition), (COMMAND_OFFSET, b"%d" % offset)]
                if number < letters:
                    headers = [*place, *_errors(self.topics.commands, partition, offset).headers()]
                    key = command.key.encode()
                    await producer.send(
                        self.topics.dead_letters, encode(command), key=key, partition=partition, headers=headers
                    )
                if number < events:
                    await producer.send(
                        self.topics.events, encode(_event(command, number)), partition=partition, headers=place
                    )
            await producer.flush()
        finally:
            await producer.stop()

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start one command."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            "dead-letters",
            *arguments,
            stdout=asyncio.subprocess.DEVNULL,
            env={**os.environ, **self.environ},
        )

    async def run(self, *arguments: str) -> tuple[int | None, float, float]:
        """Run one command to its end: its exit code, seconds, and peak memory in MiB."""
        began = time.monotonic()
        process = await self.start(*arguments)
        peak = 0.0
        while process.returncode is None:
            try:
                await asyncio.wait_for(asyncio.shield(process.wait()), 0.05)
            except TimeoutError:
                peak = max(peak, _peak(process.pid))
        return process.returncode, time.monotonic() - began, peak

    @property
    def environ(self) -> dict[str, str]:
        """The settings of the commands."""
        names = {
            f"GATEWAY_KAFKA__TOPICS__{role.upper()}": getattr(self.topics, role) for role in Topics.__struct_fields__
        }
        return {
            "GATEWAY_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap,
            "GATEWAY_KAFKA__PARTITIONS": str(PARTITIONS),
            "GATEWAY_KAFKA__GROUP_ID": self.topics.commands,
            **names,
        }


async def count_sent(estate: Estate) -> Counter[str]:
    """How often each letter's command was sent again, as it is committed."""
    async with open_reader({"bootstrap_servers": estate.bootstrap}) as reader:
        spans = await reader.ranges(estate.topics.commands)
        return Counter(
            [
                decode_command(record.value).redrive_of or "?"
                async for records in reader.forwards(estate.topics.commands, spans)
                for record in records
            ]
        )


def _peak(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii")
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)


def _command(number: int) -> SetLeverage:
    return SetLeverage(
        command_id=f"c{number}",
        account=f"desk-{number % ACCOUNTS}",
        leverage=Decimal(20),
        target=BinanceUsdm(symbol=f"L{number}"),
        issuer="rig",
    )


def _errors(topic: str, partition: int, offset: int) -> LetterErrors:
    now = Timestamp.from_epoch(time.time())
    return LetterErrors(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=now,
        stage="execute",
        reason="venue_unavailable",
        message=f"no answer within 5.0 s, attempt {offset}",
        attempts=5,
        failed_at=now,
        group="gateway",
    )


def _event(command: SetLeverage, number: int) -> LeverageRejected:
    return LeverageRejected(
        event_id=f"e{number}",
        command_id=command.command_id,
        account=command.account,
        target=command.target,
        lane=command.target.lane,
        issuer=None,
        redrive_of=None,
        attempts=5,
        issued_at=None,
        occurred_at=Timestamp.from_epoch(time.time() - 3_600),
        leverage=command.leverage,
        reason="venue_unavailable",
        message="down",
        venue_code=str(-1000 - number % 7),
        dead_lettered=True,
    )
