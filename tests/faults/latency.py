"""How long commands take from the record to the committed answer, for accounts that are asked steadily."""

import asyncio
from collections.abc import Sequence

from schemas import Event, LeverageRejected, VenueName
from tests.faults.desk import Desk, target

EACH = 0.2  # seconds between two commands of one account: half of the slowest venue's rate

Account = tuple[str, VenueName]


async def latencies(desk: Desk, accounts: Sequence[Account], *, seconds: float) -> list[float]:
    """Commands at a steady pace for each of these accounts, each for a lane of its own: how long each took, sorted."""
    waits: list[asyncio.Task[float]] = []
    for number in range(round(seconds / EACH)):
        for name, venue in accounts:
            command = desk.command(target(venue, number), 7, account=name)
            waits.append(asyncio.create_task(_latency(desk, desk.feed(command)[0])))
        await asyncio.sleep(EACH)
    return sorted(await asyncio.gather(*waits))


async def _latency(desk: Desk, answer: asyncio.Future[Event]) -> float:
    begun = desk.clock.monotonic()
    event = await answer
    assert not isinstance(event, LeverageRejected), event
    return desk.clock.monotonic() - begun


def p99(sorted_latencies: Sequence[float]) -> float:
    return sorted_latencies[len(sorted_latencies) * 99 // 100]
