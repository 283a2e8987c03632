"""Ten times more commands than a venue's budget allows: is it all used, and is it ever broken?

```
python -m tests.faults.load --venue okx --seconds 120                       in real time
python -m tests.faults.load --venue binance_usdm --others 12 --seconds 600 --jump    on time that jumps
```
`--others` is a second spender on the same address that only the venue's usage headers tell of. The whole gateway but
Kafka is there, over real sockets, at the strict simulator.
"""

import argparse
import asyncio
import sys
from random import Random
from typing import get_args

from msgspec import Struct

from gateway.clock import Clock, SystemClock
from gateway.limits.limit import Limit
from gateway.simulator import SimulatorSettings
from gateway.simulator.windows import Windows
from gateway.venues.catalogue import venues
from schemas import VenueName
from tests.faults.desk import Desk, open_desk, sample, target
from tests.kit.jumping import JumpingLoop

OVERLOAD = 10
LOTS = 120  # of commands in a window
WARM_WINDOWS = 2  # until a whole window of the venue's clock was seen, others are given half of it
VALUES = {"binance_margin": (3, 5, 10)}


class Load(Struct, frozen=True, kw_only=True):
    """What to try; `seconds` once warm, `others` weight a second by somebody else, `latency` seconds of every call."""

    venue: VenueName
    seconds: float
    others: float = 0.0
    latency: float = 0.005
    windows: Windows = "fixed"


class Measured(Struct, frozen=True, kw_only=True):
    """What came of it; `share` is of the limit's weight once warm, others' included."""

    commands: int
    calls: int
    over: int
    share: float
    answered: int


def binding(venue: VenueName) -> tuple[Limit, int]:
    """The limit that binds first, and what a call takes of it."""
    limits = {limit.name: limit for limit in venues()[venue].limits}
    costs = venues()[venue].set_leverage(sample(venue)).costs
    return min(((limits[cost.limit], cost.weight) for cost in costs), key=_rate)


async def measure(load: Load, clock: Clock) -> Measured:
    """Run it."""
    limit, weight = binding(load.venue)
    simulated = SimulatorSettings(windows=load.windows)
    async with open_desk(clock, [("desk", load.venue)], simulated=simulated, warm=0.0) as desk:
        if load.latency:
            desk.fault("latency", load.venue, seconds=load.latency)
        if load.others:
            desk.simulator.gate.spend(load.venue, limit.name, "127.0.0.1", load.others, clock.wall())
        await _to_the_next(limit, clock)
        warm = clock.wall() + WARM_WINDOWS * limit.window
        end = warm + load.seconds
        commands = await _overload(desk, load.venue, (limit, weight), end)
        calls = [call for call in desk.calls(load.venue) if warm <= call.received_at < end]
        used = len(calls) * weight + load.others * load.seconds
        return Measured(
            commands=commands,
            calls=len(desk.calls(load.venue)),
            over=sum(reading.over for reading in desk.simulator.gate.readings(clock.wall())),
            share=used / (limit.capacity * load.seconds / limit.window),
            answered=len(desk.log.events),
        )


async def _to_the_next(limit: Limit, clock: Clock) -> None:
    """Wait for the beginning of a window of the venue's clock."""
    await asyncio.sleep(limit.window - clock.wall() % limit.window)


async def _overload(desk: Desk, venue: VenueName, bound: tuple[Limit, int], end: float) -> int:
    """Feed ten times the rate until the end, over enough lanes that one waits always; how many it were."""
    random, fed, lot = Random(3), 0, 0.0
    rate, tick = _rate(bound), bound[0].window / LOTS
    lanes = 1 if venue == "binance_margin" else max(100, round(OVERLOAD * rate))
    while desk.clock.wall() < end:
        lot += rate * OVERLOAD * tick
        while lot >= 1 and not desk.partition.full:
            leverage = random.choice(VALUES.get(venue, tuple(range(1, 21))))
            desk.feed(desk.command(target(venue, random.randrange(lanes)), leverage))
            fed, lot = fed + 1, lot - 1
        await asyncio.sleep(tick)
    return fed


def _rate(bound: tuple[Limit, int]) -> float:
    limit, weight = bound
    return limit.capacity / weight / limit.window


def report(load: Load, measured: Measured) -> str:
    """One line."""
    limit, weight = binding(load.venue)
    beside = f", {load.others:g}/s spent by others" if load.others else ""
    return (
        f"{load.venue} {limit.capacity // weight} per {limit.window:g} s{beside}, {load.seconds:g} s once warm: "
        f"{measured.commands} commands, {measured.calls} calls, {measured.over} over the limit, "
        f"{measured.share:.2%} of the budget used\n"
    )


def main() -> int:
    """Measure, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venue", choices=get_args(VenueName), required=True)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--others", type=float, default=0.0, help="weight a second")
    parser.add_argument("--latency", type=float, default=0.005, help="seconds")
    parser.add_argument("--windows", choices=get_args(Windows), default="fixed", help="how the venue counts")
    parser.add_argument("--jump", action="store_true", help="on time that jumps over every wait")
    given = vars(parser.parse_args())
    jump = given.pop("jump")
    load = Load(**given)
    with asyncio.Runner(loop_factory=JumpingLoop if jump else None) as runner:
        loop = runner.get_loop()
        measured = runner.run(measure(load, loop if isinstance(loop, JumpingLoop) else SystemClock()))
    sys.stdout.write(report(load, measured))
    return int(measured.over > 0)


if __name__ == "__main__":
    sys.exit(main())
