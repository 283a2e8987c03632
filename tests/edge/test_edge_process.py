"""`serve` as a process: it needs no venue and no keys, tells its readers before it goes, and leaves with 0."""

import asyncio
import signal
import sys

import msgspec
import pytest
import websockets
from aiohttp import ClientError, ClientSession

from tests.app.processes import toml
from tests.edge.rig import settings_of

pytestmark = pytest.mark.kafka
PATIENCE = 60


@pytest.fixture
async def process(kafka_bootstrap, topics, tmp_path, unused_tcp_port):
    listen = f"127.0.0.1:{unused_tcp_port}"
    settings = settings_of(kafka_bootstrap, topics, tmp_path, listen=listen, drain_timeout=3.0)
    tables = msgspec.to_builtins(settings)
    path = tmp_path / "edge.toml"
    path.write_text(toml({"kafka": tables["kafka"], "edge": tables["edge"], "logging": {"format": "json"}}))
    log = (tmp_path / "log").open("wb")
    arguments = ("-m", "gateway", "serve", "--config", str(path))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=log, stderr=log)
    process.url = f"http://{listen}"
    process.log = tmp_path / "log"
    yield process
    if process.returncode is None:
        process.kill()
    await process.wait()
    log.close()


async def status(url):
    try:
        async with ClientSession() as session, session.get(url) as response:
            return response.status
    except ClientError:
        return None


async def test_it_warns_its_readers_is_not_ready_at_once_and_leaves_in_the_told_time(process):
    async with asyncio.timeout(PATIENCE):
        while await status(f"{process.url}/readyz") != 200:
            assert process.returncode is None, process.log.read_text()
            await asyncio.sleep(0.05)
    headers = {"Authorization": "Bearer reader-token"}
    async with (
        websockets.connect(f"{process.url.replace('http', 'ws')}/v1/stream", additional_headers=headers) as stream,
        ClientSession(process.url, headers=headers) as session,
        session.get("/v1/events") as events,
    ):
        await stream.recv()
        process.send_signal(signal.SIGTERM)
        frames = [msgspec.json.decode(data) async for data in _told(stream)]
        notice = next(frame for frame in frames if frame["type"] == "notice")
        assert notice["reconnect_within_seconds"] == 3.0
        assert stream.protocol.close_rcvd.code == 4000
        assert b"event: notice" in await events.content.read()
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    text = process.log.read_text()
    assert "draining_edge" in text
    assert "Traceback" not in text
    assert "reader-token" not in text


async def _told(stream):
    """All that comes until the end; at the notice the process is not ready any more."""
    try:
        while True:
            data = await asyncio.wait_for(stream.recv(), PATIENCE)
            if '"notice"' in data:
                host, port = stream.remote_address
                assert await status(f"http://{host}:{port}/readyz") == 503
            yield data
    except websockets.ConnectionClosed:
        pass
