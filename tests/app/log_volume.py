"""Measures how much a gateway logs: `python -m tests.app.log_volume [--accounts 100] [--commands 10000] [--rate 10]`.

Not a test: it starts a broker (or uses KAFKA_BOOTSTRAP_SERVERS) and one gateway as a process, sends the commands of all
accounts in turn to simulated venues, and says how many lines and bytes that made, by event, and for a day at the rate.
One command in fifty names an account that nobody knows, one in fifty asks for a leverage of nothing, one in fifty comes
twice.
"""

import argparse
import asyncio
import contextlib
import os
import tempfile
from collections import Counter
from pathlib import Path

import msgspec

from deploy.kafka.broker import Cluster
from gateway.settings.tree import AccountSettings
from schemas import BinanceUsdm, SetLeverage
from tests.app.processes import GatewayProcess, until
from tests.app.rig import ACCOUNT, Rig, deployed

BATCH = 500
DAY = 86_400
MEGABYTE = 1_000_000


async def main(accounts: int, commands: int, rate: float) -> None:
    """Run, and tell."""
    with contextlib.ExitStack() as stack:
        bootstrap = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
        if not bootstrap:
            bootstrap = stack.enter_context(Cluster()).bootstrap_servers
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gateway-logs-")))
        async with deployed(bootstrap, folder) as rig:
            named = desk_accounts(rig, accounts)
            async with rig.process("volume", rig.settings(accounts=named)) as process:
                started = len(process.log)
                await load(rig, sorted(named), commands)
                await until(lambda: len(process.logged("skipped_repeat")) >= commands // 50, "the last line is written")
                tell(process, started, commands, rate)


def desk_accounts(rig: Rig, count: int) -> dict[str, AccountSettings]:
    """So many accounts, each with the keys of the one that the simulator knows."""
    keys = rig.accounts[ACCOUNT]
    return {f"desk-{number}": keys for number in range(1, count + 1)}


async def load(rig: Rig, accounts: list[str], commands: int) -> None:
    """Everything is answered before more is sent."""
    for start in range(0, commands, BATCH):
        sent = [asked(rig, accounts, number) for number in range(start, min(commands, start + BATCH))]
        await rig.ask(*sent)
        await rig.send(*sent[::50])


def asked(rig: Rig, accounts: list[str], number: int) -> SetLeverage:
    """A command as the module says."""
    account = "nobody" if number % 50 == 1 else accounts[number % len(accounts)]
    target = BinanceUsdm(symbol=f"SIM{number // len(accounts) % 20}USDT")
    return rig.command(target, 0 if number % 50 == 2 else 1 + number % 20, account=account)


def tell(process: GatewayProcess, started: int, commands: int, rate: float) -> None:
    """Lines and bytes by event, and for a day."""
    text = process.log.encode()
    lines, size = Counter[str](), Counter[str]()
    for line in text[started:].splitlines(keepends=True):
        event: str = msgspec.json.decode(line)["event"]
        lines[event] += 1
        size[event] += len(line)
    for event, count in lines.most_common():
        print(f"{event:24} {count:7} lines {size[event]:10} bytes {size[event] / count:6.0f} a line")
    print(f"the start: {len(text[:started].splitlines())} lines, {started} bytes")
    total, a_thousand = sum(size.values()), 1000 / commands
    print(f"1,000 commands: {sum(lines.values()) * a_thousand:.0f} lines, {total * a_thousand:.0f} bytes")
    print(f"a day at {rate:g} commands a second: {total / commands * rate * DAY / MEGABYTE:.0f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--commands", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=10.0)
    chosen = parser.parse_args()
    asyncio.run(main(chosen.accounts, chosen.commands, chosen.rate))
