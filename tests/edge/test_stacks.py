"""`serve` speaks with other stacks' clients: curl, Python's `websockets`, and Node's."""

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest
import websockets

from tests.app.processes import ROOT
from tests.deploy.tools import program
from tests.edge.rig import answering, command
from tests.edge.serving import serving

pytestmark = pytest.mark.kafka
PATIENCE = 60
CACHE = ROOT / "deploy" / "examples" / "risk_cache.mjs"


@pytest.fixture
async def edge(kafka_bootstrap, topics, tmp_path):
    async with answering(kafka_bootstrap, topics), serving(kafka_bootstrap, topics, tmp_path) as edge:
        yield edge


@asynccontextmanager
async def running(*arguments, **environ):
    """A program, its lines read as they come."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*arguments, stdout=pipe, env=environ or None)
    try:
        async with asyncio.timeout(PATIENCE):
            yield process.stdout
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def curl(edge, path, *options):
    asked = (program("curl", "curl"), "-sS", "-H", "Authorization: Bearer desk-token", *options, edge.url + path)
    async with running(*asked) as out:
        answer = msgspec.json.decode(await out.read())
    assert "code" not in answer, answer
    return answer


async def test_curl_hands_a_command_in_and_reads_the_snapshot(edge):
    asked = command("20")
    identity = ("-H", f"Idempotency-Key: {asked['command_id']}")
    handed = [
        await curl(edge, "/v1/commands?wait=30", *identity, "--json", msgspec.json.encode(asked)) for _ in range(2)
    ]
    (event,) = handed[0]["events"]
    assert (event["type"], event["leverage"]) == ("LeverageChanged", "20")
    assert handed[1] == handed[0], "the same key is the same command"
    assert (await curl(edge, "/v1/leverage?account=desk-1"))["lanes"] == [event]


async def test_curl_follows_server_sent_events(edge):
    follow = (program("curl", "curl"), "-sSN", "-H", "Authorization: Bearer reader-token", f"{edge.url}/v1/events")
    async with running(*follow) as out:
        while (await out.readline()).strip() != b"event: live":
            pass
        event = (await curl(edge, "/v1/commands?wait=30", "--json", msgspec.json.encode(command("21"))))["events"][0]
        while (await out.readline()).strip() != b"event: event":
            pass
        assert (await out.readline()).startswith(b"id: ")
        assert msgspec.json.decode((await out.readline()).removeprefix(b"data: "))["event"] == event


async def test_websockets_hands_a_command_in_and_is_told_its_event(edge):
    headers = {"Authorization": "Bearer desk-token"}
    async with websockets.connect(edge.stream, additional_headers=headers) as stream, asyncio.timeout(PATIENCE):
        await stream.send(msgspec.json.encode({"type": "command", "ref": "r", "command": command("22")}).decode())
        frames = [msgspec.json.decode(data) async for data in _until(stream, "event")]
    assert [frame["ref"] for frame in frames if frame["type"] in {"result", "event"}] == ["r", "r"]


async def _until(stream, kind):
    async for data in stream:
        yield data
        if f'"type":"{kind}"' in data:
            return


async def test_node_keeps_a_cache_over_its_websocket(edge, tmp_path):
    node = program("node", "nodejs")
    await curl(edge, "/v1/commands?wait=30", "--json", msgspec.json.encode(command("20")))
    follow = (node, str(CACHE), edge.stream, str(tmp_path / "reader"))
    async with running(*follow, NODE_PATH="/usr/share/nodejs") as out:  # where Debian's node-ws is
        assert await out.readline() == b"binance_usdm desk-1 BTCUSDT 20x\n", "Node before 22 needs the package node-ws"
        await curl(edge, "/v1/commands?wait=30", "--json", msgspec.json.encode(command("21")))
        assert await out.readline() == b"binance_usdm desk-1 BTCUSDT 21x after 20x\n"
