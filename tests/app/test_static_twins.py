"""Two processes with one `kafka.group_instance_id`: the one that came first ends, and says why."""

import asyncio
from pathlib import Path

import pytest

from schemas import BinanceUsdm, LeverageChanged
from tests.app.processes import PATIENCE
from tests.app.rig import deployed

pytestmark = pytest.mark.kafka


async def test_who_is_replaced_under_his_own_instance_id_ends_with_exit_3_and_the_other_goes_on(
    kafka_bootstrap: str, tmp_path: Path
):
    async with deployed(kafka_bootstrap, tmp_path) as rig:
        settings = rig.settings(kafka={"group_instance_id": "twin"})
        async with rig.process("first", settings) as first, rig.process("second", settings) as second:
            assert await asyncio.to_thread(first.popen.wait, PATIENCE) == 3
            [line] = first.logged("failed_gateway")
            assert "joined" in line["error"]
            assert "as twin: kafka.group_instance_id must be its own for every process" in line["error"]
            [event] = await rig.ask(rig.command(BinanceUsdm(symbol="BTCUSDT"), 5))
            assert isinstance(event, LeverageChanged)
            assert second.popen.poll() is None
            assert not second.logged("revoked_partitions"), "the first took the id back"
