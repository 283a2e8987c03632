"""Measures a gateway's memory while it works a large backlog off: `python -m tests.app.backlog [--commands 1000000]`.

Not a test: it starts a broker (or uses KAFKA_BOOTSTRAP_SERVERS), produces the backlog, starts one gateway as a process and
prints its resident memory at intervals, until all is answered or the time is up. Latest wins, so most commands are superseded.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.kafka.broker import Cluster
from gateway.settings.tree import LoggingSettings
from schemas import BinanceUsdm, SetLeverage, encode
from tests.app.processes import GatewayProcess
from tests.app.rig import Rig, deployed


async def main(commands: int, lanes: int, seconds: float, interval: float) -> None:
    """Produce, start, watch."""
    with contextlib.ExitStack() as stack:
        bootstrap = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
        if not bootstrap:
            bootstrap = stack.enter_context(Cluster()).bootstrap_servers
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-backlog-")))
        async with deployed(bootstrap, folder, reading=False) as rig:
            partition, lasted = await produce(rig, commands, lanes)
            say(f"{commands} commands for {lanes} lanes of one account produced in {lasted:.1f} s")
            settings = rig.settings(logging=LoggingSettings(format="json", level="warning"))
            async with rig.process("backlog", settings, ready=False) as process:
                await watch(rig, process, partition, commands=commands, seconds=seconds, interval=interval)
            say(process.log[-2000:])


async def produce(rig: Rig, commands: int, lanes: int) -> tuple[int, float]:
    """All to one partition, each value another than the one before it in its lane."""
    begun = time.monotonic()
    partition, key = rig.partition_of(rig.command()), rig.command().key.encode()
    producer: Any = AIOKafkaProducer(
        bootstrap_servers=rig.bootstrap, linger_ms=20, max_batch_size=1024 * 1024, compression_type="lz4"
    )
    async with producer:
        for number in range(commands):
            command: SetLeverage = rig.command(BinanceUsdm(symbol=f"SIM{number % lanes}USDT"), 1 + number // lanes % 99)
            await producer.send(rig.topics.commands, encode(command), key=key, partition=partition)
        await producer.flush()
    return partition, time.monotonic() - begun


async def watch(
    rig: Rig, process: GatewayProcess, partition: int, *, commands: int, seconds: float, interval: float
) -> None:
    """Print what is answered and what it takes, until all is."""
    group = f"{rig.topics.commands}"
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=rig.bootstrap, group_id=group, enable_auto_commit=False)
    tp, begun, peak = TopicPartition(rig.topics.commands, partition), time.monotonic(), 0
    await consumer.start()
    try:
        done = 0
        while done < commands and time.monotonic() < begun + seconds and process.popen.poll() is None:
            await asyncio.sleep(interval)
            done = await consumer.committed(tp) or 0
            now, high = memory_mib(process.popen.pid)
            peak = max(peak, high)
            passed = time.monotonic() - begun
            say(
                f"{passed:7.1f} s  {done:9d} committed  {done / passed:7.0f}/s  RSS {now} MiB  peak {high} MiB",
            )
    finally:
        await consumer.stop()
    say(f"{done} of {commands} commands; {len(rig.calls())} calls; peak RSS {peak} MiB")


def memory_mib(pid: int) -> tuple[int, int]:
    """Resident memory of a process now, and its highest so far."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) // 1024, int(lines["VmHWM"].split()[0]) // 1024


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=1_000_000)
    parser.add_argument("--lanes", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=600.0, help="give up after this long")
    parser.add_argument("--interval", type=float, default=5.0)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    asyncio.run(main(given.commands, given.lanes, given.seconds, given.interval))
