"""A gateway without Kafka: `gateway.app`'s own wiring and one partition, over real sockets, at simulated venues."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import msgspec
import structlog

from gateway.app import Gateway
from gateway.calls.clock_watch import RETRY as CLOCK_RETRY
from gateway.clock import Clock
from gateway.ownership.lease import Lease
from gateway.ownership.ledger import Checkpoint, LogPosition
from gateway.ownership.ports import OutRecord, Tail
from gateway.ownership.repeats import RepeatWindow
from gateway.ownership.takeover import Inheritance
from gateway.pipeline.command import CommandRecord
from gateway.pipeline.partition import Partition
from gateway.settings.tree import KafkaSettings, PipelineSettings, Settings, VenueSettings, VenuesSettings
from gateway.simulator import Fault, SimulatedAccount, Simulator, SimulatorSettings
from gateway.simulator.config import account_settings
from gateway.simulator.gate import Pass
from gateway.simulator.journal import Entry
from schemas import (
    BinanceMargin,
    BinancePortfolio,
    BinanceUsdm,
    Event,
    Okx,
    SetLeverage,
    Target,
    Timestamp,
    VenueName,
    Ztdx,
    decode_event,
    encode,
)
from schemas.targets import venue_of
from tests.kit.ownership import MemoryGroup

FOREVER = 1e9
TARGETS: Mapping[VenueName, Target] = {
    "binance_margin": BinanceMargin(),
    "binance_usdm": BinanceUsdm(symbol="BTCUSDT"),
    "binance_portfolio": BinancePortfolio(symbol="BTCUSDT"),
    "okx": Okx(margin_mode="isolated", instrument="BTC-USDT-SWAP"),
    "ztdx": Ztdx(symbol="BTCUSDT"),
}


def target(venue: VenueName, number: int | None = None) -> Target:
    """A venue's sample target, or one of any number of lanes."""
    if number is None or venue == "binance_margin":
        return TARGETS[venue]
    if venue == "okx":
        return Okx(margin_mode="isolated", instrument=f"SIM{number}-USDT-SWAP")
    return msgspec.structs.replace(TARGETS[venue], symbol=f"SIM{number}USDT")


def sample(venue: VenueName) -> SetLeverage:
    """A command for the venue's sample target, not to be fed."""
    return SetLeverage(command_id="c", account="desk", leverage=Decimal(5), target=TARGETS[venue])


def account(name: str, venue: VenueName) -> SimulatedAccount:
    """A key of its own."""
    passphrase = "open sesame" if venue == "okx" else None
    return SimulatedAccount(
        name=name, venue=venue, api_key=f"key-{name}", secret=f"secret-{name}-{venue}", passphrase=passphrase
    )


AT_ONCE = 0.0  # seconds: the simulator applies a call when it comes, or never


class MemoryLog:
    """The answer topics as lists; whoever waits for an answer is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.dead_letters: list[OutRecord] = []
        self.state: dict[bytes | None, Event] = {}
        self._waiting: dict[str, asyncio.Future[Event]] = {}

    def answer(self, command_id: str) -> asyncio.Future[Event]:
        """Done once the command's event is committed."""
        return self._waiting.setdefault(command_id, asyncio.get_running_loop().create_future())

    async def fence(self) -> None:
        return

    async def write(self, records: Sequence[OutRecord]) -> LogPosition:
        for record in records:
            if record.topic == "dead_letters":
                self.dead_letters.append(record)
                continue
            event = decode_event(record.value or b"")
            if record.topic == "state":
                self.state[record.key] = event
                continue
            self.events.append(event)
            self.answer(event.command_id).set_result(event)
        return LogPosition(len(self.events), len(self.dead_letters))

    async def read(self, start: LogPosition, window: RepeatWindow | None = None, *, lowest: int = 0) -> Tail:
        return Tail({}, (), LogPosition(0, 0))


class Desk:
    """Send commands, see events, calls and what the venues have in the end."""

    def __init__(
        self, simulator: Simulator, gateway: Gateway, clock: Clock, folder: Path, requests: Counter[str]
    ) -> None:
        self.requests = requests
        self.simulator = simulator
        self.gateway = gateway
        self.clock = clock
        self.folder = folder
        self.log = MemoryLog()
        lease = Lease(FOREVER)
        lease.renew(clock.monotonic())
        nothing = LogPosition(0, 0)
        first = Inheritance(checkpoint=Checkpoint(0, nothing, clean=True), tail=Tail({}, (), nothing), end=0)
        parts = msgspec.structs.replace(gateway.parts, guard=None)  # nobody follows a policy here
        self.partition = Partition(
            parts, first, ownership=MemoryGroup(first.checkpoint).claim(), log=self.log, lease=lease
        )
        self._commands = 0
        self._offset = 0

    def command(
        self, to: VenueName | Target, leverage: int = 5, *, account: str = "desk", expires_in: float | None = None
    ) -> SetLeverage:
        """A new command for a venue's sample target, or for a target."""
        self._commands += 1
        return SetLeverage(
            command_id=f"c-{self._commands}",
            account=account,
            leverage=Decimal(leverage),
            target=TARGETS[to] if isinstance(to, str) else to,
            expires_at=None if expires_in is None else Timestamp.from_epoch(self.clock.wall() + expires_in),
        )

    def feed(self, *commands: SetLeverage) -> list[asyncio.Future[Event]]:
        """Let the partition have these records at once; their answers to come."""
        records: list[CommandRecord] = []
        now_ms = int(self.clock.wall() * 1000)
        for command in commands:
            records.append(CommandRecord(0, self._offset, now_ms, command.key.encode(), encode(command), ()))
            self._offset += 1
        self.partition.feed(records)
        return [self.log.answer(command.command_id) for command in commands]

    async def ask(
        self, to: VenueName | Target, leverage: int = 5, *, account: str = "desk", expires_in: float | None = None
    ) -> Event:
        """One command, to its event."""
        return await self.feed(self.command(to, leverage, account=account, expires_in=expires_in))[0]

    def fault(self, kind: str, venue: VenueName, **more: Any) -> Fault:
        """Switch a fault of the simulator's on."""
        return self.simulator.faults.add(Fault(kind=kind, venue=venue, **more))

    def calls(self, venue: VenueName) -> list[Entry]:
        """The calls of the venue's leverage endpoint, in order."""
        return [entry for entry in self.simulator.journal.entries if entry.venue == venue]

    def values(self, venue: VenueName) -> list[str]:
        """What they asked for."""
        return [entry.value for entry in self.calls(venue)]

    def final(self, to: VenueName | Target, account: str = "desk") -> str | None:
        """What the venue has."""
        chosen = TARGETS[to] if isinstance(to, str) else to
        return self.simulator.state().get(f"{venue_of(chosen)}:{account}:{chosen.lane}")

    def refused_for_limits(self) -> list[Entry]:
        """Calls that a venue counted over its limits."""
        return [entry for entry in self.simulator.journal.entries if entry.status in (418, 429)]


@asynccontextmanager
async def open_desk(
    clock: Clock,
    accounts: Iterable[tuple[str, VenueName]],
    *,
    simulated: SimulatorSettings | None = None,
    pipeline: PipelineSettings | None = None,
    warm: float = 61.0,
    knows_clocks: bool = True,
    twins: Mapping[str, str] | None = None,
    prepare: Callable[[Simulator], None] = lambda _: None,
    ours: Clock | None = None,
    venues: Mapping[VenueName, VenueSettings] | None = None,
) -> AsyncGenerator[Desk]:
    """A simulator that knows these accounts, and a gateway for them.

    Args:
        clock: of both.
        accounts: names and venues.
        simulated: the simulator's settings; its accounts are replaced.
        pipeline: the gateway's.
        twins: more accounts of the gateway's, by the one whose keys they have.
        prepare: what the venues have seen of us before.
        ours: the gateway's clock, where it is another than the venues'.
        warm: seconds to wait until what an earlier process may have spent has left every window.
        knows_clocks: whether to wait until the gateway could read every venue's clock.
        venues: the gateway's tables of venues; their `base_url` is filled in.
    """
    known = tuple(account(name, venue) for name, venue in accounts)
    simulator = Simulator(msgspec.structs.replace(simulated or SimulatorSettings(), accounts=known), clock)
    await simulator.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(simulator.stop)
        stack.callback(structlog.reset_defaults)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        folder = Path(stack.enter_context(TemporaryDirectory()))
        named = {one.name: one for one in known}
        doubles = [msgspec.structs.replace(named[same], name=name) for name, same in (twins or {}).items()]
        settings = _settings(simulator, (*known, *doubles), folder, venues or {}, pipeline or PipelineSettings())
        requests = stack.enter_context(_counted(simulator))
        prepare(simulator)
        gateway = Gateway(settings, base_dir=folder, clock=ours or clock)
        await gateway.connect(stack)
        while knows_clocks and any(caller.clock_offset is None for caller in gateway.callers.values()):
            await asyncio.sleep(CLOCK_RETRY)
            await gateway.clock_watch.measure()
        desk = Desk(simulator, gateway, clock, folder, requests)
        stack.push_async_callback(_end, asyncio.create_task(desk.partition.run()))
        await asyncio.sleep(warm)
        yield desk


@contextmanager
def _counted(simulator: Simulator) -> Generator[Counter[str]]:
    """Count every request to each venue while this is entered."""
    requests: Counter[str] = Counter()
    admit = simulator.gate.admit

    def count(venue: VenueName, *args: Any, **more: Any) -> Pass:
        requests[venue] += 1
        return admit(venue, *args, **more)

    with patch.object(simulator.gate, "admit", count):
        yield requests


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _settings(
    simulator: Simulator,
    accounts: Iterable[SimulatedAccount],
    folder: Path,
    venues: Mapping[VenueName, VenueSettings],
    pipeline: PipelineSettings,
) -> Settings:
    defaults = VenuesSettings()
    return Settings(
        kafka=KafkaSettings(check_partitioner=False),
        pipeline=pipeline,
        venues=VenuesSettings(
            **{
                name: msgspec.structs.replace(
                    venues.get(name, getattr(defaults, name)),
                    base_url=simulator.base_url(name),
                    settles_within=AT_ONCE,
                )
                for name in TARGETS
            }
        ),
        accounts=account_settings(folder, accounts),
    )
