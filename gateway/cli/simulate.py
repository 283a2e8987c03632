"""`leverage-gateway simulate`: the simulated venues alone."""

import asyncio
import signal
from typing import Annotated

import uvloop
from cyclopts import Parameter

from gateway.addresses import parse_listen
from gateway.cli.exits import DONE, UsageError
from gateway.cli.options import JsonOption
from gateway.cli.printing import print_json, print_table
from gateway.clock import SystemClock
from gateway.telemetry.metrics import VENUES
from gateway.telemetry.server import ListenError


def simulate(
    *,
    listen: Annotated[str, Parameter(help="host:port; port 0 takes a free one.")] = "127.0.0.1:8090",
    json: JsonOption = False,
) -> int:
    """Run the simulated venues alone, until SIGTERM or Ctrl-C.

    Prints the base_url of each venue, for the gateway's settings, and the control page, where faults are switched.

    ```sh
    leverage-gateway simulate --listen 127.0.0.1:8090
    ```
    """
    try:
        host, port = parse_listen(listen)
    except ValueError as error:
        raise UsageError(f"--listen: {error}") from None
    uvloop.run(_simulate(host, port, json=json))
    return DONE


async def _simulate(host: str, port: int, *, json: bool) -> None:
    from gateway.simulator import Simulator, SimulatorSettings  # noqa: PLC0415 - no other command needs it

    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    simulator = Simulator(SimulatorSettings(), SystemClock())
    try:
        await simulator.start(host, port)
    except OSError as error:
        await simulator.stop()
        raise ListenError(f"--listen: cannot listen on {host}:{port}: {error.strerror}; choose another") from error
    places = {f"venues.{venue}.base_url": simulator.base_url(venue) for venue in VENUES}
    control = f"{simulator.url}/_control"
    if json:
        print_json({"base_urls": {venue: simulator.base_url(venue) for venue in VENUES}, "control": control})
    else:
        print_table(("setting", "address"), [*places.items(), ("control page", control)])
    await stop.wait()
    await simulator.stop()
