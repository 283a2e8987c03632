"""A simulator on a clock that stands still, and somebody to call it."""

from collections.abc import AsyncGenerator

import aiohttp
import pytest

from gateway.simulator import Simulator, SimulatorSettings
from tests.kit.clocks import FakeClock
from tests.simulator.by_hand import Caller, accounts, okx_account

OKX_DESKS = (
    okx_account("hedge", pos_mode="long_short_mode"),
    okx_account("spot", acct_lv=1),
    okx_account("multi", acct_lv=3),
    okx_account("portfolio", acct_lv=4),
    okx_account("demo", simulated=True),
)


@pytest.fixture
def settings() -> SimulatorSettings:
    """Override it in a test module, or with `@pytest.mark.parametrize("settings", […])`."""
    return SimulatorSettings(accounts=accounts(*OKX_DESKS))


@pytest.fixture
async def caller(settings: SimulatorSettings, clock: FakeClock) -> AsyncGenerator[Caller]:
    simulator = Simulator(settings, clock)
    await simulator.start()
    try:
        async with aiohttp.ClientSession() as http:
            yield Caller(simulator, http, clock)
    finally:
        await simulator.stop()
