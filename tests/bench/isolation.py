"""`python -m tests.bench.isolation`: does one venue in a black hole slow the others down, in real time?

Two gateways side by side in one process get the same commands at the same instants; for one of them a venue never
answers. Printed is what matters: the ratio of their 99th percentiles for the other venues.
"""

import argparse
import asyncio
import sys
from typing import get_args

from gateway.clock import SystemClock
from gateway.settings.tree import LimitSettings, VenueSettings
from schemas import VenueName
from tests.faults.desk import open_desk, target
from tests.faults.latency import Account, latencies, p99

BY_LANE: tuple[VenueName, ...] = ("binance_usdm", "binance_portfolio", "okx", "ztdx")
LANES = 300
SETTLE = 2.0  # seconds for the work of these commands, which is no venue's fault
AT_ONCE: dict[VenueName, VenueSettings] = {
    "ztdx": VenueSettings(limits={"ip_weight": LimitSettings(assume_spent_at_start=False)})
}


async def compare(venue: VenueName, seconds: float, latency: float) -> tuple[list[float], list[float]]:
    """The latencies of the other venues: without a black hole, and with one."""
    others: list[Account] = [("desk", name) for name in BY_LANE if name != venue]
    accounts: list[Account] = [*others, ("desk", venue)]
    async with (
        open_desk(SystemClock(), accounts, warm=3.0, venues=AT_ONCE) as plain,
        open_desk(SystemClock(), accounts, warm=3.0, venues=AT_ONCE) as holed,
    ):
        for desk in (plain, holed):
            for _, other in others:
                desk.fault("latency", other, seconds=latency)
        holed.fault("black_hole_before", venue)
        for desk in (plain, holed):
            desk.feed(*(desk.command(target(venue, number)) for number in range(LANES)))
        await asyncio.sleep(SETTLE)
        both = await asyncio.gather(*(latencies(desk, others, seconds=seconds) for desk in (plain, holed)))
        return both[0], both[1]


def main() -> int:
    """Measure, and print the ratio."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.isolation")
    parser.add_argument("--venue", choices=get_args(VenueName), default="binance_usdm", help="the one in a black hole")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds that the other venues take")
    given = parser.parse_args()
    without, beside = asyncio.run(compare(given.venue, given.seconds, given.latency))
    sys.stdout.write(
        f"{given.venue} in a black hole, {len(beside)} commands for the others: p99 {p99(beside) * 1000:.1f} ms, "
        f"without {p99(without) * 1000:.1f} ms: {p99(beside) / p99(without):.2f} times\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
