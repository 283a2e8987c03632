"""`simulate` as a process: where the venues are, and a quiet end."""

import asyncio
import json
import signal
import socket
import sys

import pytest
from aiohttp import ClientSession

from gateway.cli.options import read_settings
from schemas.targets import VENUES


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


async def test_simulate_writes_settings_that_the_gateway_accepts_and_writes_them_again(tmp_path):
    folder = tmp_path / "simulated"
    for _ in range(2):
        process = await start("--listen", "127.0.0.1:0", "--json", "--write-config", str(folder))
        assert process.stdout is not None
        told = json.loads(await process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        assert (await process.communicate(), process.returncode) == ((b"", b""), 0)
        assert told["config"] == str(folder / "gateway.toml")
        settings = read_settings(folder / "gateway.toml")
        assert {venue: getattr(settings.venues, venue).base_url for venue in VENUES} == told["base_urls"]
        assert all(getattr(settings.accounts["desk-1"], venue) for venue in VENUES)


async def simulated(*arguments):
    """Runs it until it has told where it is; what it told, on both streams."""
    process = await start("--json", *arguments)
    assert process.stdout is not None
    told = json.loads(await process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    _, err = await process.communicate()
    assert process.returncode == 0
    return told, err.decode()


async def test_a_gateway_elsewhere_is_given_the_public_url_and_who_listens_beyond_loopback_is_told(tmp_path):
    arguments = ("--listen", "0.0.0.0:0", "--public-url", "http://venues:8090/")
    told, err = await simulated(*arguments, "--write-config", str(tmp_path))
    assert told["base_urls"]["okx"] == "http://venues:8090/okx"
    assert err == "Whoever reaches 0.0.0.0:0 may switch faults and limits there, and read what was called.\n"
    settings = read_settings(tmp_path / "gateway.toml")
    assert settings.venues.okx.base_url == "http://venues:8090/okx"


async def test_all_addresses_are_called_by_the_one_of_this_machine_alone():
    told, err = await simulated("--listen", "0.0.0.0:0")
    assert told["control"].startswith("http://127.0.0.1:")
    assert "--public-url" in err


async def test_an_ipv6_address_is_in_brackets_wherever_it_is_written(tmp_path):
    told, err = await simulated("--listen", "[::1]:0", "--write-config", str(tmp_path))
    assert (told["base_urls"]["okx"][:13], err) == ("http://[::1]:", "")
    assert read_settings(tmp_path / "gateway.toml").venues.okx.base_url == told["base_urls"]["okx"]


@pytest.mark.parametrize("url", ["venues:8090", "http://user:word@venues", "ftp://venues"])
async def test_a_public_url_that_is_none_is_wrong_usage(url):
    process = await start("--public-url", url)
    _, err = await process.communicate()
    assert (process.returncode, err.decode()[:14]) == (2, "--public-url: ")


@pytest.mark.parametrize("there", ["gateway.toml", "secrets", "other.toml"])
async def test_simulate_replaces_nothing_that_it_did_not_write(tmp_path, there):
    (tmp_path / there).write_text("mine")
    process = await start("--listen", "127.0.0.1:0", "--write-config", str(tmp_path))
    _, err = await process.communicate()
    assert process.returncode == 2
    assert err.decode() == "--write-config: expected a new or empty folder, or one that this wrote before\n"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(there, "mine")]


async def test_simulate_says_where_it_cannot_write(tmp_path):
    (tmp_path / "file").write_text("mine")
    process = await start("--listen", "127.0.0.1:0", "--write-config", str(tmp_path / "file" / "folder"))
    _, err = await process.communicate()
    assert process.returncode == 2
    assert err.decode().startswith(f"--write-config: cannot write to {tmp_path / 'file' / 'folder'}: ")
