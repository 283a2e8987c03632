"""`leverage-gateway simulate`: the simulated venues alone, and on request the settings of a gateway that calls them."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import uvloop
from cyclopts import Parameter

from gateway.cli.exits import DONE, UsageError
from gateway.cli.options import JsonOption
from gateway.cli.printing import print_json, print_table
from gateway.clock import SystemClock
from gateway.settings.addresses import is_loopback, parse_listen, url_host, wrong_base_url
from gateway.telemetry.server import ListenError
from schemas.targets import VENUES

_MARK = "# Written by leverage-gateway simulate --write-config, and again whenever that is run for this folder."
# Without this the first call at these two waits a minute: somebody could have spent the window before.
_HEAD = f"""{_MARK}
# The keys open simulated accounts only. Kafka: GATEWAY_KAFKA__BOOTSTRAP_SERVERS, or a [kafka] table.

[venues.binance_margin.limits.ip_calls]
assume_spent_at_start = false   # nobody else calls a simulated venue; keep the default at a real one

[venues.ztdx.limits.ip_weight]
assume_spent_at_start = false
"""


def simulate(
    *,
    listen: Annotated[str, Parameter(help="host:port; port 0 takes a free one.")] = "127.0.0.1:8090",
    public_url: Annotated[
        str | None, Parameter(help="How a gateway elsewhere calls it, as http://venues:8090; printed and written.")
    ] = None,
    write_config: Annotated[
        Path | None, Parameter(help="Write a gateway.toml with the simulated accounts and their keys into this folder.")
    ] = None,
    json: JsonOption = False,
) -> int:
    """Run the simulated venues alone, until SIGTERM or Ctrl-C.

    Prints the base_url of each venue, for the gateway's settings, and the control page, where faults are switched.

    ```sh
    leverage-gateway simulate --listen 127.0.0.1:8090
    leverage-gateway simulate --write-config simulated
    leverage-gateway run --config simulated/gateway.toml
    leverage-gateway simulate --listen 0.0.0.0:8090 --public-url http://venues:8090 --write-config shared
    ```
    """
    try:
        host, port = parse_listen(listen)
    except ValueError as error:
        raise UsageError(f"--listen: {error}") from None
    if public_url is not None and (remedy := wrong_base_url(public_url, allow_http=True)):
        raise UsageError(f"--public-url: {remedy}")
    if write_config is not None:
        _check_folder(write_config)
    if not is_loopback(host):
        sys.stderr.write(f"Whoever reaches {listen} may switch faults and limits there, and read what was called.\n")
        if public_url is None:
            sys.stderr.write("A gateway on another machine or in another container needs --public-url.\n")
    uvloop.run(_simulate(_Place(host, port, public_url and public_url.rstrip("/")), write_config, json=json))
    return DONE


class _Place(NamedTuple):
    host: str
    port: int
    public_url: str | None


def _check_folder(folder: Path) -> None:
    """UsageError where writing there could replace what a person made: real keys may have the same file names."""
    try:
        if not folder.exists() or not any(folder.iterdir()):
            return
        written = (folder / "gateway.toml").read_text("utf-8").startswith(_MARK)
    except (OSError, UnicodeDecodeError):
        written = False
    if not written:
        raise UsageError("--write-config: expected a new or empty folder, or one that this wrote before")


async def _simulate(place: _Place, folder: Path | None, *, json: bool) -> None:
    from gateway.simulator import Simulator, SimulatorSettings  # noqa: PLC0415 - no other command needs it

    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    simulator = Simulator(SimulatorSettings(), SystemClock())
    try:
        await simulator.start(place.host, place.port, public_url=place.public_url)
    except OSError as error:
        await simulator.stop()
        where = f"{url_host(place.host)}:{place.port}"
        raise ListenError(f"--listen: cannot listen on {where}: {error.strerror}; choose another") from error
    try:
        _tell(simulator.url, None if folder is None else _write(folder, simulator.url), json=json)
        await stop.wait()
    finally:
        await simulator.stop()


def _write(folder: Path, url: str) -> Path:
    """Settings for a gateway that trades for all accounts of the demo."""
    from gateway.simulator import demo_accounts  # noqa: PLC0415 - as above
    from gateway.simulator.config import write_gateway_config  # noqa: PLC0415

    try:
        return write_gateway_config(folder, demo_accounts(), simulator_url=url, head=_HEAD)
    except OSError as error:
        raise UsageError(f"--write-config: cannot write to {folder}: {error.strerror}") from None


def _tell(url: str, config: Path | None, *, json: bool) -> None:
    base_urls = {venue: f"{url}/{venue}" for venue in VENUES}
    control = f"{url}/_control"
    if json:
        written = {} if config is None else {"config": str(config)}
        print_json({"base_urls": base_urls, "control": control, **written})
        return
    rows = [*((f"venues.{venue}.base_url", where) for venue, where in base_urls.items()), ("control page", control)]
    print_table(("setting", "address"), [*rows, *([] if config is None else [("--config", str(config))])])
