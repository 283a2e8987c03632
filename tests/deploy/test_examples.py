"""The examples of a strategy engine and a risk cache run as they stand, over Kafka and over an edge."""

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.kafka.broker import Cluster
from gateway.kafka.topics import create_topics
from gateway.settings.tree import KafkaSettings, Settings
from schemas.topics import Topics
from tests.app.processes import ROOT
from tests.edge.rig import answering, edge_of, settings_of

pytestmark = pytest.mark.kafka
EXAMPLES = ROOT / "deploy" / "examples"
PATIENCE = 60
PIPE = asyncio.subprocess.PIPE


@pytest.fixture(scope="module")
def bootstrap(kafka_bootstrap):
    """A broker whose topics have the names that the examples go by."""
    with Cluster() as cluster:
        kafka = KafkaSettings(bootstrap_servers=cluster.bootstrap_servers, partitions=4)
        asyncio.run(create_topics(Settings(kafka=kafka), base_dir=Path()))
        yield cluster.bootstrap_servers


@pytest.fixture(params=["kafka", "edge"])
async def address(request, bootstrap, tmp_path):
    """How an example is told where the gateway is."""
    async with answering(bootstrap, Topics()):
        if request.param == "kafka":
            yield (f"kafka://{bootstrap}",)
            return
        async with edge_of(settings_of(bootstrap, Topics(), tmp_path), tmp_path) as edge:
            stream = f"{edge.server.url.replace('http', 'ws')}/v1/stream"
            yield stream, "--token-file", str(tmp_path / "desk")


@asynccontextmanager
async def example(name, *arguments):
    command = (sys.executable, str(EXAMPLES / name), *arguments)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=PIPE, stdout=PIPE)
    try:
        async with asyncio.timeout(PATIENCE):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_engine_has_its_wishes_set_and_the_cache_shows_them(address, request):
    account = request.node.callspec.id
    async with example("risk_cache.py", *address, "--account", account) as cache:
        assert await cache.stdout.readline() == f"ready highest of {account} None\n".encode()
        async with example("strategy_engine.py", *address, "--account", account) as engine:
            engine.stdin.write(b"BTCUSDT 20\nETHUSDT 500\n")
            engine.stdin.write_eof()
            said = (await engine.stdout.read()).decode()
            assert await engine.wait() == 0
        assert sorted(said.splitlines()) == [
            "BTCUSDT set: the venue has 20x",
            "ETHUSDT not set: venue_rejected: Leverage is not valid",
        ]
        assert await cache.stdout.readline() == f"binance_usdm {account} BTCUSDT 20x\n".encode()
    async with example("risk_cache.py", *address, "--account", account) as cache:
        assert await cache.stdout.readline() == f"binance_usdm {account} BTCUSDT 20x\n".encode()
        assert await cache.stdout.readline() == f"ready highest of {account} 20\n".encode()
