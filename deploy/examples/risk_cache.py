"""A risk cache: every lane's leverage in memory, what changes, and the highest of an account, but never an old one.

```sh
python deploy/examples/risk_cache.py kafka://127.0.0.1:9092 --account desk-1
python deploy/examples/risk_cache.py ws://127.0.0.1:8081/v1/stream --token-file token --account desk-1
```
"""

import argparse
import asyncio
from decimal import Decimal
from pathlib import Path

from gateway.client import LaneKey, LaneState, LeverageCache, Stale, connect

MAX_AGE = 2.0  # seconds that a risk decision may be behind
LOOK = 0.1


def highest(cache: LeverageCache, account: str) -> Decimal | None:
    """The highest leverage of an account; Stale where it may have changed more than MAX_AGE ago."""
    keys = [key for key in cache if key.account == account]
    states = [cache.get(key, max_age=MAX_AGE) for key in keys]
    return max((state.event.leverage for state in states if state is not None), default=None)


async def tell_state(cache: LeverageCache, account: str) -> None:
    """Say whenever the cache becomes another one: ready, stale, ready again."""
    told = ""
    while cache.state != "closed":
        if cache.state != told:
            told = cache.state
            try:
                print(told, "highest of", account, highest(cache, account), flush=True)
            except Stale as stale:
                print(told, stale, flush=True)
        await asyncio.sleep(LOOK)


def tell(key: LaneKey, old: LaneState | None, new: LaneState) -> None:
    """Say what a lane has now."""
    before = "" if old is None else f" after {old.event.leverage}x"
    print(f"{key.venue} {key.account} {key.lane} {new.event.leverage}x{before}", flush=True)


async def main(address: str, token: str | None, account: str) -> None:
    """Load, and follow for ever."""
    async with connect(address, token=token) as client:
        cache = await client.cache(accounts=[account])
        await cache.ready(timeout=30)
        for key, state in cache.items():
            tell(key, None, state)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(tell_state(cache, account))
            async for change in cache.changes():
                tell(change.key, change.old, change.new)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="kafka://host:port, or ws(s)://host/v1/stream of an edge")
    parser.add_argument("--token-file", type=Path, help="for an edge: the file that holds the token")
    parser.add_argument("--account", required=True)
    given = parser.parse_args()
    asyncio.run(main(given.address, given.token_file and given.token_file.read_text().strip(), given.account))
