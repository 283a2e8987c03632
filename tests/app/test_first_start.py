"""The first owners of a group that is new: nobody was before them, so whoever comes after them waits for nobody."""

from pathlib import Path

import pytest

from schemas import BinanceUsdm, LeverageChanged
from tests.app.processes import until
from tests.app.rig import deployed

pytestmark = pytest.mark.kafka


async def test_a_first_static_owner_that_is_restarted_at_once_leaves_in_order(kafka_bootstrap: str, tmp_path: Path):
    async with deployed(kafka_bootstrap, tmp_path) as rig:
        settings = rig.settings(kafka={"group_instance_id": "one"}, venue={"settles_within": 30.0})
        async with rig.process("first", settings) as process:
            for leverage in (5, 6):
                [event] = await rig.ask(rig.command(BinanceUsdm(symbol="BTCUSDT"), leverage))
                assert isinstance(event, LeverageChanged)
                assert await process.terminate() == 0
                [left] = process.logged("revoked_partitions")
                assert left["clean"], process.log
                process.start()
                await process.restored()


async def test_a_first_owner_gives_half_to_a_second_in_order(kafka_bootstrap: str, tmp_path: Path):
    async with deployed(kafka_bootstrap, tmp_path) as rig:
        slow = {"settles_within": 30.0}
        async with rig.process("first", rig.settings(kafka={"group_instance_id": "one"}, venue=slow)) as first:
            await rig.ask(rig.command(BinanceUsdm(symbol="BTCUSDT"), 5))
            async with rig.process("second", rig.settings(kafka={"group_instance_id": "two"}, venue=slow), ready=False):
                await until(lambda: first.logged("revoked_partitions"), "the first has given up what it had")
            assert first.logged("revoked_partitions")[0]["clean"], first.log
