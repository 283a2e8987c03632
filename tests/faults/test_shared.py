"""Two gateways on one address share its budget through a real redis-server, also while that is gone."""

import asyncio
import logging
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
import structlog

from gateway.app import Gateway
from gateway.clock import SystemClock
from gateway.settings.tree import (
    KafkaSettings,
    LimitSettings,
    RedisSettings,
    Settings,
    VenueSettings,
    VenuesSettings,
)
from gateway.simulator import Simulator, SimulatorSettings
from gateway.simulator.config import account_settings
from schemas import Ztdx
from tests.faults.desk import Desk, account
from tests.limits.redis_server import SERVER, RedisServer

pytestmark = pytest.mark.skipif(SERVER is None, reason="neither redis-server nor valkey-server is installed")

CAPACITY, WINDOW = 80, 2.0
SHARED = VenueSettings(
    deadline=60.0, limits={"ip_weight": LimitSettings(capacity=CAPACITY, window=WINDOW, shared=True)}, call_timeout=1.0
)


@pytest.fixture
async def redis(tmp_path: Path):
    server = RedisServer(tmp_path)
    await server.start()
    yield server
    await server.kill()


async def gateway(stack: AsyncExitStack, simulator: Simulator, redis: RedisServer, folder: Path, name: str) -> Desk:
    settings = Settings(
        kafka=KafkaSettings(check_partitioner=False),
        venues=VenuesSettings(ztdx=msgspec.structs.replace(SHARED, base_url=simulator.base_url("ztdx"))),
        accounts=account_settings(folder, [account(name, "ztdx")]),
        redis=RedisSettings(url=redis.url, replica=name, fallback_share=0.4),
    )
    one = Gateway(settings, base_dir=folder, clock=SystemClock())
    assert one.shared is not None
    stack.push_async_callback(one.shared.close)
    shared = asyncio.create_task(one.shared.run())
    stack.push_async_callback(end, shared)
    await one.connect(stack)
    desk = Desk(simulator, one, SystemClock(), folder, Counter())
    stack.push_async_callback(end, asyncio.create_task(desk.partition.run()))
    await asyncio.sleep(0)
    return desk


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def overload(desk: Desk, name: str) -> None:
    turn = 0
    while True:
        turn += 1
        for lane in range(100):
            desk.feed(desk.command(Ztdx(symbol=f"SIM{lane}USDT"), turn % 100 + 1, account=name))
        await asyncio.sleep(0.5)


async def test_two_gateways_use_one_budget_and_never_break_it_also_while_redis_is_gone_or_hangs(
    redis: RedisServer, tmp_path: Path
):
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    accounts = (account("left", "ztdx"), account("right", "ztdx"))
    simulator = Simulator(SimulatorSettings(accounts=accounts, windows="sliding"), SystemClock())
    async with AsyncExitStack() as stack:
        stack.callback(structlog.reset_defaults)
        await simulator.start()
        stack.push_async_callback(simulator.stop)
        simulator.gate.change("ztdx", "ip_weight", CAPACITY, WINDOW)
        desks = [await gateway(stack, simulator, redis, tmp_path / name, name) for name in ("left", "right")]
        for desk, name in zip(desks, ("left", "right"), strict=True):
            stack.push_async_callback(end, asyncio.create_task(overload(desk, name)))
        await asyncio.sleep(3 * WINDOW)  # a server that knows nothing yet is trusted after a window
        since = time.time()
        await asyncio.sleep(4 * WINDOW)
        used = sum(since <= call.received_at < since + 4 * WINDOW for call in desks[0].calls("ztdx"))
        await redis.kill()
        await asyncio.sleep(3 * WINDOW)
        await redis.start()
        await asyncio.sleep(3 * WINDOW)
        redis.hang()
        await asyncio.sleep(3 * WINDOW)
        redis.wake()
        await asyncio.sleep(2 * WINDOW)
        assert desks[0].refused_for_limits() == []
        assert {call.account for call in desks[0].calls("ztdx")} == {"left", "right"}
        # How much of a shared budget is used is proved in limits/test_redis.py; here on a busy machine calls take long.
        assert used >= 0.6 * 4 * CAPACITY
        print(f"{used} of {4 * CAPACITY} used while redis was there")
