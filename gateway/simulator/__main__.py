"""`python -m gateway.simulator`: the simulated venues as a process of their own, until SIGTERM or SIGINT.

Prints one line of JSON with its url when it is ready.
"""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from gateway.clock import SystemClock
from gateway.simulator.accounts import demo_accounts, read_accounts
from gateway.simulator.server import Simulator
from gateway.simulator.settings import SimulatorSettings


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m gateway.simulator", description="Serve simulated venues.")
    parser.add_argument("--listen", default="127.0.0.1:0", help="host:port; port 0 takes a free one")
    parser.add_argument("--accounts", type=Path, help="TOML file with one [[accounts]] table an account")
    parser.add_argument("--windows", choices=("fixed", "sliding"), default="fixed", help="how limits are counted")
    options = parser.parse_args()
    accounts = read_accounts(options.accounts) if options.accounts else demo_accounts()
    host, _, port = options.listen.rpartition(":")
    asyncio.run(serve(SimulatorSettings(windows=options.windows, accounts=accounts), host, int(port)))


async def serve(settings: SimulatorSettings, host: str, port: int) -> None:
    """Serve until told to stop by a signal."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    simulator = Simulator(settings, SystemClock())
    await simulator.start(host, port)
    sys.stdout.write(json.dumps({"url": simulator.url}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    await simulator.stop()


if __name__ == "__main__":
    main()
