"""A roll-out and a rolling restart of brokers under load, seen: `python -m tests.deploy.rolling [--brokers 3]`, by hand.

The topology of deploy/compose, twenty commands a second, each gateway restarted in turn by SIGTERM, and each broker
where there are three. It says for each stretch how long answers took, and fails where a command has not exactly one
answer. At the end every command of the runbook that can run here is run.
"""

import argparse
import asyncio
import logging
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from deploy.topology import Topology
from gateway.client import Client, Rejected, connect
from schemas import BinanceUsdm, Target, Ztdx
from tests.deploy.manifests import DEPLOY

RATE = 20.0  # commands a second
TARGETS: tuple[Target, ...] = (
    *(BinanceUsdm(symbol=symbol) for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT")),
    *(Ztdx(symbol=symbol) for symbol in ("BTCUSDT", "ETHUSDT")),
)


class Load:
    """Sends commands in turn, and keeps what became of each and how long it took."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._count = 0
        self.stretch = "before"
        self.seconds: dict[str, list[float]] = {}
        self.outcomes: Counter[str] = Counter()
        self.ids: list[str] = []

    async def run(self) -> None:
        """Until cancelled; then what is under way is waited for."""
        async with asyncio.TaskGroup() as tasks:
            try:
                while True:
                    tasks.create_task(self._ask())
                    await asyncio.sleep(1 / RATE)
            except asyncio.CancelledError:
                return

    async def _ask(self) -> None:
        number, stretch, begun = self._count, self.stretch, time.monotonic()
        self._count += 1
        command_id = f"rolling-{number}"
        self.ids.append(command_id)
        target = TARGETS[number % len(TARGETS)]
        try:
            await self._client.set_leverage(
                target, 1 + number % 20, account="desk-1", timeout=120, command_id=command_id
            )
            self.outcomes["changed"] += 1
        except Rejected as rejected:
            self.outcomes[rejected.event.reason] += 1
        self.seconds.setdefault(stretch, []).append(time.monotonic() - begun)

    def told(self) -> None:
        """What each stretch was like."""
        for stretch, taken in self.seconds.items():
            taken.sort()
            half, most = taken[len(taken) // 2], taken[int(len(taken) * 0.99)]
            print(f"{stretch:12} {len(taken):5} answers  p50 {half:.3f} s  p99 {most:.3f} s  max {taken[-1]:.3f} s")
        print("outcomes:", dict(self.outcomes))


async def roll(topology: Topology, load: Load) -> None:
    """Restart everything in turn, soon after the start of a new group: who takes over waits for nobody."""
    await asyncio.sleep(5)
    for name in ("gateway-0", "gateway-1"):
        load.stretch = name
        code = await asyncio.to_thread(topology.stop, name)
        print(f"{name} ended with {code}")
        topology.start(name)
        await asyncio.to_thread(topology.ready, name)
        await asyncio.sleep(5)
    for node in range(topology.cluster.size if topology.cluster.size > 1 else 0):
        load.stretch = f"broker {node}"
        await asyncio.to_thread(topology.cluster.restart, node)
        await asyncio.sleep(10)
    load.stretch = "after"
    await asyncio.sleep(10)


async def judged(topology: Topology) -> bool:
    """Whether each command of a load has exactly one answer, as a new reader sees it."""
    async with connect(f"kafka://{topology.cluster.bootstrap_servers}") as client:
        load = Load(client)
        loading = asyncio.create_task(load.run())
        await roll(topology, load)
        loading.cancel()
        await asyncio.wait([loading])
        load.told()
        answers: Counter[str] = Counter()
        try:
            async with asyncio.timeout(30):
                async for event in client.events(from_beginning=True):
                    answers[event.command_id] += 1
                    if len(answers) >= len(load.ids) and event.command_id == load.ids[-1]:
                        break
        except TimeoutError:
            pass
    lost = [command_id for command_id in load.ids if answers[command_id] == 0]
    doubled = [command_id for command_id in load.ids if answers[command_id] > 1]
    print(f"{len(load.ids)} commands, lost {len(lost)}, doubled {len(doubled)}")
    size = sum(len(topology.log(name)) for name in ("gateway-0", "gateway-1"))
    print(f"log: {size / len(load.ids):.0f} bytes a command")
    return not lost and not doubled


def run_the_runbook(topology: Topology) -> bool:
    """Run every command of every page but those that follow for ever, and those of a cluster that is not here."""
    pages = sorted((DEPLOY / "runbook").glob("Gateway*.md"))
    lines = {
        line
        for page in pages
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
        for line in block.splitlines()
    }
    names = {
        "$CONFIG": "/shared/simulated/gateway.toml",
        "$PROBES": topology.url(8080),
        "$PROMETHEUS": topology.url(9090),
    }
    failed: dict[str, str] = {}
    run = [line for line in sorted(lines) if not line.startswith("kubectl ") and " watch " not in line]
    for line in run:
        for name, value in names.items():
            line = line.replace(name, value)  # noqa: PLW2901 - the line as it is typed here
        try:
            if line.startswith("leverage-gateway "):
                topology.ours(*shlex.split(line)[1:])
            else:
                subprocess.run(shlex.split(line), check=True, capture_output=True, timeout=30)
        except subprocess.CalledProcessError as error:
            failed[line] = f"{error.returncode} {error.stderr!r}"
    print(f"runbook: {len(run)} commands of {len(lines)} run here, {len(failed)} failed", failed or "")
    return not failed


def main() -> int:
    """0 where all is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brokers", type=int, default=1)
    brokers: int = parser.parse_args().brokers
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it has a line for every try at a broker that is away
    with (
        tempfile.TemporaryDirectory(prefix="rolling-") as folder,
        Topology((sys.executable, "-m", "gateway"), Path(folder), brokers=brokers) as topology,
    ):
        is_right = asyncio.run(judged(topology))
        return 0 if run_the_runbook(topology) and is_right else 1


if __name__ == "__main__":
    sys.exit(main())
