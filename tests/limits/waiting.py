"""A permit awaited, where the product holds a place in line and no task."""

import asyncio
from collections.abc import Sequence

from gateway.limits.limit import Cost
from gateway.limits.permits import Grant, PermitResult, Permits
from schemas import VenueName


async def acquire(permits: Permits, venue: VenueName, account: str, costs: Sequence[Cost]) -> Grant:
    """Wait in line; cancelled, it leaves the line and keeps nothing. What ends the wait without a grant is raised."""
    future: asyncio.Future[PermitResult] = asyncio.get_running_loop().create_future()

    def tell(result: PermitResult) -> None:
        if not future.done():
            future.set_result(result)

    place = permits.line_up(venue, account, costs, tell)
    if isinstance(place, Grant):
        return place
    try:
        result = await future
    except asyncio.CancelledError:
        place.leave()
        raise
    if isinstance(result, Exception):
        raise result
    return result
