"""A broker that dies, comes back, or hangs under a working gateway: it recovers without hands, and says how it is."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp import ClientSession

from deploy.kafka.broker import Cluster
from gateway.app import Gateway
from gateway.settings.tree import Settings, TracesSettings
from gateway.simulator import Fault
from schemas import BinanceUsdm, LeverageChanged, SetLeverage, Ztdx
from tests.app.otlp import collector
from tests.app.processes import until
from tests.app.rig import Rig, deployed

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]
SLOW = 0.5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(kafka_bootstrap: str) -> AsyncGenerator[Cluster]:
    """A broker of our own to break; skipped where the run's broker is."""
    cluster = Cluster()
    await asyncio.to_thread(cluster.start)
    yield cluster
    await asyncio.to_thread(cluster.stop)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Rig]:
    folder: Path = tmp_path_factory.mktemp("broker")
    async with deployed(cluster.bootstrap_servers, folder) as rig:
        yield rig


def impatient(rig: Rig) -> Settings:
    return rig.settings(
        kafka={"session_timeout_ms": 2_500, "lease": 2.0, "request_timeout_ms": 1_500, "transaction_timeout_ms": 5_000}
    )


async def probe(gateway: Gateway, path: str) -> tuple[int, dict[str, Any]]:
    async with ClientSession() as http, http.get(gateway.server.url + path) as answer:
        return answer.status, await answer.json()


async def in_flight(rig: Rig, first: int) -> list[SetLeverage]:
    """Commands on every kind of partition, with their calls under way."""
    for venue in ("binance_usdm", "ztdx"):
        rig.simulator.faults.add(Fault(kind="latency", venue=venue, seconds=SLOW))
    commands = [
        rig.command(kind(symbol=f"SIM{first + number}USDT"), 5) for number in range(20) for kind in (BinanceUsdm, Ztdx)
    ]
    calls = len(rig.calls())
    await rig.send(*commands)
    await until(lambda: len(rig.calls()) >= calls + len(commands), "all calls are under way")
    return commands


async def assert_each_changed_once(rig: Rig, commands: list[SetLeverage]) -> None:
    events = await rig.answers(*commands, patience=40)
    await rig.settled()
    assert {type(event) for event in events} == {LeverageChanged}
    assert set(Counter(event.command_id for event in rig.events(*commands)).values()) == {1}
    state = rig.simulator.state()
    for command in commands:
        assert state[f"{command.key}:{command.target.lane}"] == "5"


async def test_a_broker_that_is_killed_and_comes_back_loses_no_answer_and_needs_no_hands(rig: Rig, cluster: Cluster):
    async with rig.gateway(impatient(rig)) as gateway:
        assert (await probe(gateway, "/readyz"))[0] == 200
        commands = await in_flight(rig, 100)
        await asyncio.to_thread(cluster.kill, 0)

        await until(lambda: not gateway.health.ready()[0], "it says that it is not ready")
        status, why = await probe(gateway, "/readyz")
        assert (status, why["ok"]) == (503, False)
        assert why["lease_seconds"] == 0
        assert (await probe(gateway, "/livez"))[0] == 200

        await asyncio.to_thread(cluster.restart, 0)
        await until(lambda: gateway.health.ready()[0], "it is ready again", 40)
        assert (await probe(gateway, "/livez"))[0] == 200
        await assert_each_changed_once(rig, commands)
        [event] = await rig.ask(rig.command(BinanceUsdm(symbol="SIM99USDT"), 6))
        assert isinstance(event, LeverageChanged)


async def test_a_broker_that_goes_and_comes_back_while_commands_are_traced_loses_nothing_and_says_little(
    rig: Rig, cluster: Cluster
):
    async with collector() as otlp:
        traced = msgspec.structs.replace(impatient(rig), traces=TracesSettings(endpoint=otlp.url))
        async with rig.process("traced", traced) as process:
            commands = await in_flight(rig, 300)
            quiet = len(process.log_lines)
            await asyncio.to_thread(cluster.kill, 0)
            await until(lambda: process.logged("missed_kafka"), "it says that Kafka is gone")
            await asyncio.to_thread(cluster.restart, 0)
            await assert_each_changed_once(rig, commands)
            await until(lambda: all(otlp.trace_of(command.command_id) for command in commands), "each has its trace")
            told = [line for line in process.log_lines[quiet:] if "command_id" not in line]
            assert len(told) < 60
            assert await process.terminate() == 0


async def test_a_broker_that_hangs_for_longer_than_a_transactions_patience_costs_no_answer(rig: Rig, cluster: Cluster):
    settings = impatient(rig)
    async with rig.gateway(settings) as gateway:
        commands = await in_flight(rig, 200)
        cluster.suspend(0)
        try:
            await until(lambda: recovering(gateway) >= 1, "a transaction is given up as unknown")
            assert (await probe(gateway, "/livez"))[0] == 200
            await until(lambda: not gateway.health.ready()[0], "it says that it is not ready")
        finally:
            cluster.resume(0)
        await until(lambda: gateway.health.ready()[0], "it is ready again", 40)
        await assert_each_changed_once(rig, commands)
    assert all(len(rig.calls(command.target.lane)) <= 4 for command in commands)


def recovering(gateway: Gateway) -> float:
    return gateway.metrics.registry.get_sample_value("gateway_transactions_total", {"result": "unknown"}) or 0.0


async def test_a_gateway_that_hears_no_broker_is_alive_says_little_and_stops_when_told(rig: Rig, cluster: Cluster):
    async with rig.process("silent", impatient(rig)) as process:
        cluster.suspend(0)
        try:
            await until(lambda: process.logged("missed_kafka"), "it says that Kafka is silent")
            async with ClientSession() as http:
                await until_not_ready(http, process.url)
                async with http.get(f"{process.url}/livez") as alive:
                    assert alive.status == 200
            assert len(process.log_lines) < 60  # hundreds, where each try of each partition has its line
            assert await process.terminate() == 0
            assert process.logged("stopped_gateway")
        finally:
            cluster.resume(0)


async def until_not_ready(http: ClientSession, url: str) -> None:
    async with asyncio.timeout(20):
        while True:
            async with http.get(f"{url}/readyz") as ready:
                if ready.status == 503:
                    return
            await asyncio.sleep(0.1)
