"""One chaos run: brokers, simulator, gateways, a load, faults by a seeded schedule; then the history is judged."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import aiohttp
from aiokafka import AIOKafkaProducer
from msgspec import Struct

from deploy.kafka.broker import Cluster
from gateway.kafka.topics import create_topics
from gateway.settings.tree import KafkaSettings, Settings
from schemas.topics import Topics
from tests.chaos.checker import check, unanswered
from tests.chaos.collect import collect
from tests.chaos.estate import CALL_TIMEOUT, LIMITS, SESSION_TIMEOUT_MS, write_accounts, write_settings
from tests.chaos.generator import Generator, Plan
from tests.chaos.history import History
from tests.chaos.processes import Process, Simulator
from tests.chaos.violations import Violation

SUPERVISION = 1.0  # seconds between two looks for gateways that ended
Fault = Literal["kill", "zombie", "leave", "broker", "ban", "outage"]
BANS = ("binance_margin", "binance_usdm", "binance_portfolio", "ztdx")  # OKX answers 429 only
LATE = 0.25  # seconds that the way to the simulator may take, and the simulator until it looks


class Scheme(Struct, frozen=True, kw_only=True):
    """What one run does; the seed decides the rest.

    Attributes:
        kills: how many kill -9 of gateways; the other faults come in their odds beside them.
        rate: commands a second.
        pause: seconds between two faults, at least and at most.
        patience: seconds after the last fault until every command must be answered.
    """

    seed: int
    kills: int = 20
    gateways: int = 2
    brokers: int = 1
    rate: float = 150.0
    pause: tuple[float, float] = (0.3, 2.5)
    patience: float = 90.0
    odds: tuple[tuple[Fault, int], ...] = (
        ("kill", 85),
        ("zombie", 5),
        ("leave", 5),
        ("broker", 5),
        ("ban", 4),
        ("outage", 4),
    )
    plan: Plan = Plan()


class Verdict(Struct, frozen=True, kw_only=True):
    """What came of it."""

    history: History
    violations: list[Violation]
    faults: dict[str, int]
    seconds: float

    @property
    def summary(self) -> str:
        """One line of counts."""
        history, faults = self.history, ", ".join(f"{count} {fault}" for fault, count in self.faults.items())
        return (
            f"seed {history.seed}: {len(history.commands)} commands, {len(history.calls)} calls, {len(history.events)} "
            f"events through {faults} in {self.seconds:.0f} s: {len(self.violations)} violations"
        )


class Chaos:
    """The processes of one run."""

    def __init__(self, scheme: Scheme, folder: Path, tell: Callable[[str], object] = lambda _: None) -> None:
        """`tell` hears what is going on."""
        self._scheme = scheme
        self._tell = tell
        self._folder = folder
        self._random = random.Random(scheme.seed)
        self._cluster = Cluster(scheme.brokers)
        self._topics = Topics()
        self._faults: Counter[str] = Counter()
        self._gateways: list[Process] = []
        self._down: set[Process] = set()
        self._healing: set[asyncio.Task[None]] = set()
        self._simulator = Simulator(folder, write_accounts(folder, scheme.plan))

    async def run(self) -> Verdict:
        """Start everything, let it suffer, wait for the last answer, judge."""
        begun = time.monotonic()
        try:
            await self._start()
            async with asyncio.TaskGroup() as tasks:
                background = [tasks.create_task(self._load()), tasks.create_task(self._supervise())]
                await self._suffer()
                await asyncio.gather(*self._healing)
                await asyncio.sleep(SUPERVISION)  # whoever found no broker is started again
                for task in background:
                    task.cancel()
            await self._control("DELETE", "faults")
            history = await self._answers()
        finally:
            self._stop()
        violations = check(
            history, call_timeout=CALL_TIMEOUT, overlap_allowance=0.02, expiry_allowance=LATE, budget_kept=True
        )
        return Verdict(
            history=history, violations=violations, faults=dict(self._faults), seconds=time.monotonic() - begun
        )

    def logs(self) -> str:
        """The last lines of every gateway."""
        return "\n".join(f"== {gateway.name}\n" + gateway.log[-3000:] for gateway in self._gateways)

    async def _start(self) -> None:
        await asyncio.to_thread(self._cluster.start)
        scheme, kafka = self._scheme, self._kafka()
        await create_topics(Settings(kafka=kafka), base_dir=self._folder)
        await asyncio.to_thread(self._simulator.start)
        for venue, limits in LIMITS.items():
            for limit, bound in limits.items():
                change = {"venue": venue, "limit": limit, "capacity": bound.capacity, "window": bound.window}
                await self._control("POST", "limits", change)
        await self._trouble()
        for number in range(scheme.gateways):
            name = f"gateway-{number}"
            path = write_settings(
                self._folder,
                name,
                scheme.plan,
                bootstrap_servers=self._cluster.bootstrap_servers,
                topics=self._topics,
                simulator_url=self._simulator.url,
                share=scheme.gateways,
                static=number % 2 == 1,
            )
            gateway = Process(name, ["gateway", "run", "--config", str(path)], self._folder)
            gateway.start()
            self._gateways.append(gateway)

    def _kafka(self) -> KafkaSettings:
        return KafkaSettings(
            bootstrap_servers=self._cluster.bootstrap_servers,
            topics=self._topics,
            partitions=self._scheme.plan.partitions,
            replicas=self._scheme.brokers,
        )

    async def _trouble(self) -> None:
        """The venues are slow now and then, and connections break before and after a call is applied."""
        for venue in LIMITS:
            for kind, odds, seconds in (
                ("latency", 0.3, CALL_TIMEOUT / 4),
                ("reset_before", 0.01, 0.0),
                ("reset_after", 0.01, 0.0),
            ):
                fault = {"kind": kind, "venue": venue, "odds": odds, "seconds": seconds}
                await self._control("POST", "faults", fault)

    async def _load(self) -> None:
        generator, scheme = Generator(self._scheme.plan, self._scheme.seed), self._scheme
        producer = AIOKafkaProducer(
            bootstrap_servers=self._cluster.bootstrap_servers, enable_idempotence=True, request_timeout_ms=60_000
        )
        await producer.start()
        try:
            due = time.monotonic()
            while True:
                made = generator.next(time.time())
                await producer.send(
                    self._topics.commands,
                    made.value,
                    key=b"" if made.value is None else made.key,  # aiokafka sends no record with neither
                    partition=made.partition,
                    headers=list(made.headers),
                )
                due += self._random.expovariate(scheme.rate)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
        finally:
            await producer.stop()

    async def _supervise(self) -> None:
        """Start again who ended by itself, as every deployment does: a gateway that finds no broker leaves with 3."""
        while True:
            await asyncio.sleep(SUPERVISION)
            for gateway in self._gateways:
                if not gateway.running and gateway not in self._down:
                    self._faults["left by itself"] += 1
                    gateway.start()

    async def _suffer(self) -> None:
        await asyncio.sleep(3)
        while self._faults["kill"] < self._scheme.kills:
            await asyncio.sleep(self._random.uniform(*self._scheme.pause))
            faults, odds = zip(*self._scheme.odds, strict=True)
            (fault,) = self._random.choices(faults, odds)
            victims = [gateway for gateway in self._gateways if gateway.running and not gateway.suspended]
            self._tell(f"{self._faults.total()} faults, {self._faults['kill']} kills; next {fault}")
            if fault == "broker":
                await self._strike_broker()
            elif fault == "ban":
                await self._ban()
            elif fault == "outage":
                await self._strike_venue()
            elif victims:
                self._strike(fault, self._random.choice(victims))

    def _strike(self, fault: Fault, victim: Process) -> None:
        self._faults[fault] += 1
        if fault == "kill":
            victim.kill()
            self._down.add(victim)
            self._later(self._random.uniform(0, 1.5), lambda: self._restart(victim))
        elif fault == "zombie":
            victim.suspend()
            self._later(SESSION_TIMEOUT_MS / 1000 * self._random.uniform(0.5, 3), victim.resume)
        else:
            victim.popen.terminate()
            self._down.add(victim)
            self._later(4.0, lambda: self._restart(victim))

    def _restart(self, victim: Process) -> None:
        if victim.running:
            victim.kill()
        self._down.discard(victim)
        victim.start()

    async def _strike_broker(self) -> None:
        self._faults["broker"] += 1
        node = self._random.randrange(self._scheme.brokers)
        await asyncio.to_thread(self._cluster.kill, node)
        await asyncio.sleep(self._random.uniform(0, 2))
        await asyncio.to_thread(self._cluster.restart, node)

    async def _ban(self) -> None:
        self._faults["ban"] += 1
        seconds = self._random.uniform(0.5, 3.0)
        await self._control("POST", "limits", {"venue": self._random.choice(BANS), "ban_seconds": seconds})

    async def _strike_venue(self) -> None:
        """Nothing there answers for as long as it takes to open the breakers."""
        self._faults["outage"] += 1
        fault = {"kind": "outage", "venue": self._random.choice(list(LIMITS))}
        added = await self._control("POST", "faults", fault)
        self._later(self._random.uniform(1.0, 3.0), lambda: self._control("DELETE", f"faults/{added['id']}"))

    def _later(self, seconds: float, heal: Callable[[], Awaitable[object] | None]) -> None:
        async def wait() -> None:
            await asyncio.sleep(seconds)
            healing = heal()
            if healing is not None:
                await healing

        task = asyncio.create_task(wait())
        self._healing.add(task)

    async def _answers(self) -> History:
        """Read until every command is answered and the gateways have left, or patience ends."""
        until = time.monotonic() + self._scheme.patience
        while True:
            history = await self._collect()
            waiting = len(unanswered(history))
            self._tell(f"{waiting} of {len(history.commands)} commands wait for their answer")
            if not waiting or time.monotonic() > until:
                break
            await asyncio.sleep(1)
        for gateway in self._gateways:
            await asyncio.to_thread(gateway.stop, 20)
        return await self._collect()

    async def _collect(self) -> History:
        return await collect(self._cluster.bootstrap_servers, self._topics, self._simulator.url, seed=self._scheme.seed)

    async def _control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, f"{self._simulator.url}/_control/{path}", json=body) as answer,
        ):
            if answer.status != 200:
                raise RuntimeError(f"the simulator refuses {path} {body}: {await answer.text()}")
            return await answer.json()

    def _stop(self) -> None:
        for task in self._healing:
            task.cancel()
        for process in (*self._gateways, self._simulator):
            if process.running:
                process.kill()
        self._cluster.stop()
