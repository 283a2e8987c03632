"""A strategy engine: reads wishes, a line each, has them set at the venue, and says what became of each.

```sh
echo "BTCUSDT 20" | python deploy/examples/strategy_engine.py kafka://127.0.0.1:9092 --account desk-1
echo "BTCUSDT 20" | python deploy/examples/strategy_engine.py ws://127.0.0.1:8081/v1/stream --token-file token --account desk-1
```
"""  # noqa: E501 - a line for a shell

import argparse
import asyncio
import sys
from pathlib import Path

from gateway.client import Client, CommandIds, OutcomeUnknown, RateLimited, Rejected, Superseded, connect
from schemas import BinanceUsdm

ATTEMPTS = 3
PATIENCE = 20.0  # seconds for one


async def ask(client: Client, account: str, symbol: str, leverage: str) -> str:
    """Have one leverage set, and say in words what the engine may count on now."""
    command_id = CommandIds()()  # the same for every attempt: however often it arrives, it is carried out once
    for _ in range(ATTEMPTS):
        try:
            changed = await client.set_leverage(
                BinanceUsdm(symbol=symbol),
                leverage,
                account=account,
                issuer="example",
                timeout=PATIENCE,
                command_id=command_id,
            )
        except TimeoutError:
            continue
        except Superseded:
            return "not set: a newer wish took its place"
        except RateLimited as no:
            return f"not set: no budget before {no.retry_at}"
        except OutcomeUnknown:
            return "unknown: it may be set or not"
        except Rejected as no:
            return f"not set: {no.event.reason}: {no.event.message}"
        return f"set: the venue has {changed.leverage}x"
    return "unknown: no answer in time"


async def main(address: str, token: str | None, account: str) -> None:
    """Read wishes until the end of the input; those of different symbols wait for each other in nothing."""

    async def wish(symbol: str, leverage: str) -> None:
        print(symbol, await ask(client, account, symbol, leverage), flush=True)

    async with connect(address, token=token) as client, asyncio.TaskGroup() as wishes:
        while line := await asyncio.to_thread(sys.stdin.readline):
            wishes.create_task(wish(*line.split()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="kafka://host:port, or ws(s)://host/v1/stream of an edge")
    parser.add_argument("--token-file", type=Path, help="for an edge: the file that holds the token")
    parser.add_argument("--account", required=True)
    given = parser.parse_args()
    asyncio.run(main(given.address, given.token_file and given.token_file.read_text().strip(), given.account))
