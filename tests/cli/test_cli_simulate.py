"""`simulate` as a process: where the venues are, and a quiet end."""

import asyncio
import json
import signal
import socket
import sys

import pytest
from aiohttp import ClientSession

from gateway.telemetry.metrics import VENUES


async def start(*arguments):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "simulate",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_simulate_tells_where_venues_and_control_page_are_and_leaves_quietly(stop):
    process = await start("--listen", "127.0.0.1:0", "--json")
    assert process.stdout is not None
    told = json.loads(await process.stdout.readline())
    assert told["base_urls"].keys() == set(VENUES)
    async with ClientSession() as http:
        async with http.get(f"{told['base_urls']['binance_usdm']}/fapi/v1/time") as answer:
            assert (await answer.json())["serverTime"] > 0
        async with http.get(told["control"]) as page:
            assert page.status == 200
    process.send_signal(stop)
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")


async def test_simulate_on_an_address_in_use_exits_3():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = await start("--listen", address)
        _, err = await process.communicate()
    assert process.returncode == 3
    assert f"--listen: cannot listen on {address}: " in err.decode()
    assert b"Traceback" not in err
