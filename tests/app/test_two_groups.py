"""Two consumer groups on one set of topics: every command would be called twice, so it is noticed and refused."""

import asyncio
from pathlib import Path

import pytest

from schemas import BinanceUsdm, LeverageChanged
from schemas.headers import GROUP
from tests.app.processes import PATIENCE, GatewayProcess
from tests.app.rig import deployed

pytestmark = pytest.mark.kafka

BTC = BinanceUsdm(symbol="BTCUSDT")


async def refusal(process: GatewayProcess) -> str:
    """Why it ended with exit 3."""
    assert await asyncio.to_thread(process.popen.wait, PATIENCE) == 3
    [line] = process.logged("failed_gateway")
    return line["error"]


async def test_a_second_group_finds_the_answers_of_the_first_and_calls_nobody(kafka_bootstrap: str, tmp_path: Path):
    async with deployed(kafka_bootstrap, tmp_path) as rig, rig.process("first", rig.settings()) as first:
        command = rig.command(BTC, 5)
        [place] = await rig.send(command)
        await rig.answers(command)
        ours = rig.settings().kafka.group_id
        assert dict(rig.records_of("events", place)[0].headers)[GROUP] == ours.encode()
        async with rig.process("second", rig.settings(kafka={"group_id": "other"}), ready=False) as second:
            said = await refusal(second)
        assert said.startswith("kafka.group_id: ")
        assert f"holds an answer of the group {ours!r}, and this gateway's is 'other'" in said
        assert f'kafka.former_group_ids = ["{ours}"]' in said
        [event] = await rig.ask(rig.command(BTC, 7))
        assert isinstance(event, LeverageChanged)
        assert len(rig.calls()) == 2
        assert first.popen.poll() is None


async def test_a_group_that_was_renamed_goes_on_where_it_is_told_its_former_name(kafka_bootstrap: str, tmp_path: Path):
    async with deployed(kafka_bootstrap, tmp_path) as rig:
        async with rig.process("before", rig.settings()):
            await rig.ask(rig.command(BTC, 5))
        renamed = {"group_id": "renamed", "former_group_ids": (rig.settings().kafka.group_id,)}
        async with rig.process("after", rig.settings(kafka=renamed)):
            await rig.ask(rig.command(BTC, 7))
        assert [call.value for call in rig.calls()] == ["5", "7"]


async def test_two_groups_that_began_on_empty_topics_are_noticed_at_their_first_answers(
    kafka_bootstrap: str, tmp_path: Path
):
    async with deployed(kafka_bootstrap, tmp_path) as rig:
        other = rig.settings(kafka={"group_id": "other"})
        async with rig.process("first", rig.settings()) as first, rig.process("second", other) as second:
            await rig.send(*(rig.command(BTC, leverage) for leverage in (5, 6)))
            waiting = [asyncio.create_task(refusal(process)) for process in (first, second)]
            ended, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert "Two groups on the same topics" in ended.pop().result()
            for process in (first, second):
                process.kill()
            await asyncio.wait(waiting)
