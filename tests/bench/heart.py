"""`python -m tests.bench.heart`: CPU a command of the pipeline alone, from a fed record to a committed answer.

No broker and no socket: the answer topics are lists, the venue answers at once. What is left is intake, lanes, permits,
calls, verdicts and settlement; every command is called. Each line is a run of its own.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

from gateway.calls.venue_caller import VenueCaller
from gateway.clock import SystemClock
from gateway.limits.limit import LimitPolicy
from gateway.limits.permits import Permits
from gateway.ownership.lease import Lease
from gateway.ownership.ledger import Checkpoint, LogPosition
from gateway.ownership.ports import OutRecord, Tail
from gateway.ownership.repeats import RepeatWindow
from gateway.ownership.takeover import Inheritance
from gateway.pipeline.command import CommandRecord
from gateway.pipeline.observer import Observer
from gateway.pipeline.partition import Partition
from gateway.pipeline.parts import build_parts
from gateway.settings.tree import KafkaSettings, PipelineSettings, Settings, VenueSettings, VenuesSettings
from gateway.transport.messages import HttpReply, HttpRequest
from gateway.venues.credentials import Credentials
from schemas import BinanceUsdm, VenueName
from tests.kit.bench import Quiet, command, record
from tests.simulation.gateway import Key
from tests.simulation.venue import PaperVenue

COMMANDS = 20_000
FEED = 200  # records a fetch


class Everything:
    """All that the pipeline asks of the world, answered at once.

    Attributes:
        sent: calls that were made.
    """

    offset = 0.0
    held = True

    def __init__(self) -> None:
        self.written = self.sent = 0
        self.is_done = asyncio.Event()

    async def send(self, request: HttpRequest) -> HttpReply:
        self.sent += 1
        value = request.target.partition("leverage=")[2].partition("&")[0]
        return HttpReply(status=200, headers={}, body=value.encode())

    async def write(self, records: Sequence[OutRecord]) -> LogPosition:
        await asyncio.sleep(0)
        self.written += sum(one.topic == "events" for one in records)
        if self.written >= COMMANDS:
            self.is_done.set()
        return LogPosition(self.written, 0)

    async def read(self, start: LogPosition, window: RepeatWindow | None = None, *, lowest: int = 0) -> Tail:
        return Tail({}, (), start)

    async def fence(self) -> None:
        return

    def wall(self) -> float:
        return time.time()

    def timestamp_ms(self) -> int:
        return int(self.wall() * 1000)

    async def measure(self, ask: Any) -> bool:
        return True

    def knows(self, venue: VenueName, account: str) -> bool:
        return True

    def credentials(self, venue: VenueName, account: str) -> Credentials:
        return Credentials(api_key=account, signing_key=Key())

    def user(self, venue: VenueName, account: str) -> str:
        return account

    def accepted(self, venue: VenueName, account: str, credentials: Credentials) -> None:
        return

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_more: None


def partition(world: Everything, clock: SystemClock, observer: Observer) -> Partition:
    """The pipeline as the gateway builds it, around a paper venue without limits that bite."""
    venue, permits = PaperVenue("binance_usdm", None, reads_back=True), Permits(clock)
    permits.register("binance_usdm", venue.limits, {"uid_calls": LimitPolicy(assume_spent=False)}, call_timeout=1.0)
    one = VenueSettings(latest_wins=False, deadline_counts_from="read")  # the paper's commands are of another day
    caller = VenueCaller(
        venue, one, sender=world, venue_time=world, keys=world, permits=permits, clock=clock,
        max_in_flight=64, observer=observer,
    )  # fmt: skip
    settings = Settings(
        kafka=KafkaSettings(check_partitioner=False),
        pipeline=PipelineSettings(max_incomplete=10_000, max_lane_queue=COMMANDS),
        venues=VenuesSettings(binance_usdm=one),
    )
    parts = build_parts(
        settings, venues={"binance_usdm": venue}, callers={"binance_usdm": caller}, accounts=world,
        partition_of=lambda _: 0, partition_change=lambda: None, clock=clock, observer=observer,
        jitter=random.Random(0),
    )  # fmt: skip
    nothing = LogPosition(0, 0)
    tail = Tail({}, (), nothing)
    first = Inheritance(checkpoint=Checkpoint(0, nothing, clean=True), tail=tail, end=0)
    lease = Lease(3600.0)
    lease.renew(clock.monotonic())
    return Partition(parts, first, ownership=world, log=world, lease=lease)


def records(lanes: int) -> list[CommandRecord]:
    """Commands over so many lanes, in turn."""
    return [
        record(command(number, leverage=number % 100 + 1, target=BinanceUsdm(symbol=f"S{number % lanes}")), number)
        for number in range(COMMANDS)
    ]


async def run(lanes: int, observer: Observer | None = None) -> float:
    """CPU microseconds a command."""
    world, fed = Everything(), records(lanes)
    one = partition(world, SystemClock(), observer or Quiet([]))
    working = asyncio.get_running_loop().create_task(one.run())
    await asyncio.sleep(0)
    begun = time.process_time()
    for start in range(0, COMMANDS, FEED):
        one.feed(fed[start : start + FEED])
        while one.full:  # noqa: ASYNC110 - it is the loop's work that is waited for
            await asyncio.sleep(0)
        await asyncio.sleep(0)
    await world.is_done.wait()
    spent = time.process_time() - begun
    working.cancel()
    await asyncio.wait([working])
    assert world.sent == COMMANDS
    return spent / COMMANDS * 1e6


def main() -> None:
    """Print a line a number of lanes, and its ratio to the first."""
    first = None
    for lanes in (50, 1_000, 10_000):
        cost = min(asyncio.run(run(lanes)) for _ in range(3))
        first = first or cost
        print(f"{lanes:6} lanes: {cost:5.1f} us CPU a command, {cost / first:4.2f} times that of the first line")


if __name__ == "__main__":
    main()
