"""Freeze under load, with kill -9 of gateways and a broker that restarts: `python -m tests.policy.storm`, run by hand.

Three gateways carry commands out; again and again everything is frozen by one record. From a second after that record
was appended (the broker's time) until the thaw no call may reach a venue, whatever is killed or frozen meanwhile; after
the thaw work goes on; at the end every command has exactly one answer.
"""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError
from msgspec.structs import replace

from deploy.kafka.broker import Cluster
from gateway.kafka.policy_topic import PolicyEntry, read_policy, write_policy
from gateway.policy.board import NO_OPERATORS
from schemas import BinancePortfolio, BinanceUsdm, FreezeState, Okx, Target, Timestamp, Ztdx
from tests.app.processes import GatewayProcess, until
from tests.app.rig import Rig, deployed
from tests.policy.desk import after, freeze

BOUND = 1.0  # seconds from the record to the last call that may begin
FROZEN_FOR = 4.0
GOES_ON_WITHIN = 30.0
LANES = 40


class Storm:
    """One run: what was sent, frozen and found."""

    def __init__(self, rig: Rig, cluster: Cluster, gateways: list[GatewayProcess], rate: float) -> None:
        self.rig = rig
        self.cluster = cluster
        self.gateways = gateways
        self.rate = rate
        self.sent: set[str] = set()
        self.unconfirmed: set[str] = set()
        self.sending: set[asyncio.Task[None]] = set()
        self.worst = float("-inf")
        self.late = 0
        self.dice = random.Random(15)

    async def load(self) -> None:
        """Commands at a steady rate, over lanes of four venues, until cancelled."""
        number, begun = 0, time.monotonic()
        while True:
            number += 1
            symbol = f"SIM{number % LANES}USDT"
            targets: tuple[Target, ...] = (
                BinanceUsdm(symbol=symbol),
                BinancePortfolio(symbol=symbol),
                Ztdx(symbol=symbol),
                Okx(margin_mode="cross", instrument=f"SIM{number % LANES}-USDT-SWAP"),
            )
            command = self.rig.command(targets[number // LANES % 4], 1 + number % 50)
            sending = asyncio.create_task(self._send(command))
            self.sending.add(sending)
            sending.add_done_callback(self.sending.discard)
            await asyncio.sleep(max(0.0, begun + number / self.rate - time.monotonic()))

    async def _send(self, command: Any) -> None:
        try:
            await self.rig.send(command)
            self.sent.add(command.command_id)
        except KafkaError:  # the broker was away: it may be there all the same
            self.unconfirmed.add(command.command_id)

    async def put(self, state: FreezeState) -> PolicyEntry:
        """Write a record, as often as it takes, and read when the broker appended it."""
        options = {"bootstrap_servers": self.rig.bootstrap}
        while True:
            try:
                board = (await read_policy(self.rig.topics.policy, options, NO_OPERATORS)).board
                record = replace(after(board, freeze(state)), at=Timestamp.from_epoch(time.time()))
                offset = await write_policy(self.rig.topics.policy, options, record)
                entries = (await read_policy(self.rig.topics.policy, options, NO_OPERATORS)).entries
                return next(entry for entry in entries if entry.offset == offset)
            except (KafkaError, TimeoutError, OSError):
                await asyncio.sleep(0.1)

    async def round(self, trouble: str) -> None:
        """Freeze, make trouble, look, thaw, and see work go on."""
        before = asyncio.create_task(self._restart_broker()) if trouble == "broker before" else None
        if before is not None:
            await before
        frozen = await self.put("frozen")
        if trouble == "kill":
            await self._kill(self.dice.choice(self.gateways))
        elif trouble == "suspend":
            await self._suspend(self.dice.choice(self.gateways))
        elif trouble == "broker":
            await self._restart_broker()
        await asyncio.sleep(max(0.0, frozen.at + FROZEN_FOR - time.time()))
        thawed = await self.put("open")
        calls = [entry.received_at for entry in self.rig.calls() if frozen.at < entry.received_at < thawed.at]
        last = max((at - frozen.at for at in calls), default=0.0)
        late = sum(at - frozen.at > BOUND for at in calls)
        self.worst, self.late = max(self.worst, last), self.late + late
        await until(
            lambda: any(entry.received_at > thawed.at and entry.status == 200 for entry in self.rig.calls()[-200:]),
            f"work goes on after the thaw ({trouble})",
            GOES_ON_WITHIN,
        )
        goes_on = time.time() - thawed.at
        print(
            f"{trouble:<14} last call {last:6.3f} s after the record, {late} late; on {goes_on:.2f} s after the thaw",
            flush=True,
        )

    async def _kill(self, gateway: GatewayProcess) -> None:
        gateway.kill()
        await asyncio.sleep(0.5)
        gateway.start()

    async def _suspend(self, gateway: GatewayProcess) -> None:
        """Stopped just before the next record, woken up while it holds."""
        gateway.signal(signal.SIGSTOP)
        await asyncio.sleep(2.0)
        gateway.signal(signal.SIGCONT)

    async def _restart_broker(self) -> None:
        await asyncio.to_thread(self.cluster.kill, 0)
        await asyncio.sleep(1.0)
        await asyncio.to_thread(self.cluster.restart, 0)

    async def judge(self) -> list[str]:
        """What is wrong at the end."""
        await asyncio.gather(*self.sending)
        await until(lambda: self.sent <= {event.command_id for event in self.rig.events()}, "every answer", 120.0)
        counts = Counter(event.command_id for event in self.rig.events())
        wrong = [f"{one} has {count} answers" for one, count in counts.items() if count != 1]
        if self.late:
            wrong.append(f"{self.late} calls later than {BOUND} s after the record; worst {self.worst:.3f} s")
        return wrong


async def run(rounds: int, rate: float) -> int:
    """All rounds; the exit code."""
    troubles = ["none", "kill", "suspend", "broker", "broker before"]
    with Cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            rig = await stack.enter_async_context(deployed(cluster.bootstrap_servers, Path(folder)))
            gateways = [
                await stack.enter_async_context(rig.process(f"gateway-{number}", ready=number == 0))
                for number in range(3)
            ]
            storm = Storm(rig, cluster, gateways, rate)
            begun = time.monotonic()
            loading = asyncio.create_task(storm.load())
            await until(lambda: len(rig.events()) > rate, "the load is answered", 60.0)
            for number in range(rounds):
                await storm.round(troubles[number % len(troubles)])
                await asyncio.sleep(2.0)
            loading.cancel()
            loaded = time.monotonic() - begun
            with suppress(asyncio.CancelledError):
                await loading
            wrong = await storm.judge()
            told = Counter(getattr(event, "reason", "changed") for event in rig.events())
            print(
                f"{len(storm.sent)} commands, {len(storm.sent) / loaded:.0f} a second, {dict(told)}; worst call {storm.worst:.3f} s after its record"
            )
            print("\n".join(wrong) or "no call late, every command answered once")
            return 1 if wrong else 0


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.policy.storm", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--rate", type=float, default=300.0, help="commands a second")
    options = parser.parse_args()
    return asyncio.run(run(options.rounds, options.rate))


if __name__ == "__main__":
    sys.exit(main())
