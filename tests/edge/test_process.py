"""`serve` as a process: it needs no venue and no keys, tells its readers before it goes, and leaves with 0."""

import asyncio
import re
import signal
from pathlib import Path

import msgspec
import pytest
import websockets
from aiohttp import ClientSession

from tests.edge.serving import serving, status

pytestmark = pytest.mark.kafka
PATIENCE = 60


@pytest.fixture
async def process(kafka_bootstrap, topics, tmp_path, core_dumps):
    async with serving(kafka_bootstrap, topics, tmp_path, drain_timeout=3.0) as process:
        yield process


async def test_it_warns_its_readers_is_not_ready_at_once_and_leaves_in_the_told_time(process):
    headers = {"Authorization": "Bearer reader-token"}
    async with (
        websockets.connect(f"{process.url.replace('http', 'ws')}/v1/stream", additional_headers=headers) as stream,
        ClientSession(process.url, headers=headers) as session,
        session.get("/v1/events") as events,
    ):
        await stream.recv()
        limits = Path(f"/proc/{process.pid}/limits").read_text()  # noqa: ASYNC240 - no disk is behind it
        assert re.search(r"Max core file size +0 ", limits), "a core dump holds tokens"
        process.send_signal(signal.SIGUSR1)  # by habit, to have logs reopened
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
