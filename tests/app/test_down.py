"""The way down, from where a gateway may be told to stop: it ends in order, with exit code 0, and soon."""

import asyncio
import json
import os
import signal
import socket
import sys

import pytest
from aiohttp import ClientSession

from tests.app.processes import ROOT

SOON = 8.0  # far below any patience that a gateway has with Kafka in these settings


@pytest.fixture
def silent_host():
    """Takes connections and says nothing, as a host does that is switched off behind its load balancer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server


def address_of(server):
    return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def folder(tmp_path, unused_tcp_port):
    for name in ("key", "secret"):
        (tmp_path / name).write_text("k" * 16)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "gateway.toml").write_text(
        '[accounts.desk-1.okx]\napi_key_file = "key"\napi_secret_file = "secret"\npassphrase_file = "key"\n'
        f'[venues.okx]\nbase_url = "http://127.0.0.1:{unused_tcp_port}"\n[http]\nlisten = "127.0.0.1:0"\n'
        '[logging]\nformat = "json"\n[kafka]\nrequest_timeout_ms = 60000\n'
    )
    return tmp_path


async def started(folder, bootstrap_servers, **environ):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "run",
        "--config",
        str(folder / "gateway.toml"),
        cwd=ROOT,
        env=os.environ | {"GATEWAY_KAFKA__BOOTSTRAP_SERVERS": bootstrap_servers, **environ},
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process):
    """The log's lines, of a process that has to end soon."""
    try:
        _, err = await asyncio.wait_for(process.communicate(), SOON)
    except TimeoutError:
        process.kill()
        raise
    return [json.loads(line) for line in err.decode().splitlines()]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGHUP])
async def test_a_stop_while_no_broker_answers_is_heard_at_once(folder, silent_host, stop):
    process = await started(folder, f"{address_of(silent_host)},{address_of(silent_host)}")
    connection, _ = await asyncio.to_thread(silent_host.accept)
    process.send_signal(stop)
    lines = await ended(process)
    connection.close()
    assert process.returncode == 0
    assert [line["event"] for line in lines][-1] == "stopped_gateway"


async def test_a_stop_before_the_gateway_listens_to_signals_is_an_end_in_order_too(folder, silent_host):
    process = await started(folder, address_of(silent_host), PYTHONPROFILEIMPORTTIME="1")
    while b"aiokafka" not in (line := await process.stderr.readline()):
        assert line  # imports tell their names; this one comes after the first handler is set
    process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.communicate(), SOON)
    assert process.returncode == 0


async def test_a_start_that_fails_says_why_in_the_last_line_as_json_where_the_log_is(folder, unused_tcp_port):
    process = await started(folder, f"127.0.0.1:{unused_tcp_port}")
    lines = await ended(process)
    assert process.returncode == 3
    assert lines[-1]["event"] == "failed_gateway"
    assert lines[-1]["level"] == "error"
    assert lines[-1]["exit_code"] == 3
    assert "the connection is refused" in lines[-1]["error"]


async def test_a_start_that_waits_for_kafka_is_alive_not_ready_and_stops_when_told(folder, unused_tcp_port_factory):
    probes = f"127.0.0.1:{unused_tcp_port_factory()}"
    process = await started(
        folder,
        f"127.0.0.1:{unused_tcp_port_factory()}",
        GATEWAY_KAFKA__START_PATIENCE="600",
        GATEWAY_HTTP__LISTEN=probes,
    )
    while b"missed_kafka" not in (line := await process.stderr.readline()):
        assert line
    async with ClientSession() as http:
        for page, status in (("livez", 200), ("readyz", 503)):
            async with http.get(f"http://{probes}/{page}") as answer:
                assert answer.status == status
    process.send_signal(signal.SIGTERM)
    lines = await ended(process)
    assert (process.returncode, lines[-1]["event"]) == (0, "stopped_gateway")


async def test_a_log_that_nobody_reads_stops_no_gateway(folder, silent_host):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "run",
        "--config",
        str(folder / "gateway.toml"),
        cwd=ROOT,
        env=os.environ | {"GATEWAY_KAFKA__BOOTSTRAP_SERVERS": address_of(silent_host)},
        stderr=writer,
    )
    os.close(writer)
    connection, _ = await asyncio.to_thread(silent_host.accept)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), SOON) == 0
    connection.close()
    os.close(reader)
