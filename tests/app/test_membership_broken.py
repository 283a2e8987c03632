"""What is owned is worked on, or the group is joined anew, whatever ends inside the client library."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import GroupAuthorizationFailedError

from gateway.kafka import group
from schemas import BinanceUsdm, LeverageChanged
from tests.app.processes import until
from tests.app.rig import Rig, deployed

pytestmark = pytest.mark.kafka


@pytest_asyncio.fixture
async def own(kafka_bootstrap: str, tmp_path: Path) -> AsyncGenerator[Rig]:
    async with deployed(kafka_bootstrap, tmp_path) as rig:
        yield rig


async def answered(rig: Rig, leverage: int) -> None:
    commands = [rig.command(BinanceUsdm(symbol=symbol), leverage) for symbol in ("BTCUSDT", "ETHUSDT")]
    events = await rig.ask(*commands)
    assert all(isinstance(event, LeverageChanged) for event in events), events


async def listed(admin: Any, topic: str, *, is_there: bool) -> None:
    async with asyncio.timeout(30):
        while (topic in await admin.list_topics()) is not is_there:  # noqa: ASYNC110 - a broker's own time
            await asyncio.sleep(0.05)


async def make_commands_anew(rig: Rig) -> None:
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=rig.bootstrap)
    await admin.start()
    await admin.delete_topics([rig.topics.commands])
    await listed(admin, rig.topics.commands, is_there=False)
    await admin.create_topics([NewTopic(rig.topics.commands, rig.partitions, 1)])
    await listed(admin, rig.topics.commands, is_there=True)
    await admin.close()
    await rig.reconnect()


async def test_commands_of_a_topic_made_anew_while_no_gateway_ran_are_answered(own: Rig):
    async with own.gateway():
        await answered(own, 5)
        await answered(own, 6)
    await make_commands_anew(own)
    async with own.gateway():
        await answered(own, 7)


async def test_a_topic_made_anew_that_grew_longer_than_the_old_one_is_answered_from_its_beginning(own: Rig):
    async with own.gateway():
        await answered(own, 5)
        await answered(own, 6)
    await make_commands_anew(own)
    commands = [own.command(BinanceUsdm(symbol="BTCUSDT"), leverage) for leverage in range(7, 14)]
    await own.send(*commands)
    async with own.gateway():
        await own.answers(*commands)


async def test_commands_of_a_topic_made_anew_under_a_running_gateway_are_answered(own: Rig):
    async with own.gateway():
        for leverage in range(5, 12):
            await answered(own, leverage)
        await make_commands_anew(own)
        await answered(own, 15)


async def test_a_topic_made_anew_that_outgrew_the_old_one_before_the_next_fetch_is_answered_from_its_beginning(
    own: Rig,
):
    async with own.process("stopped") as gateway:
        for leverage in range(5, 8):
            await answered(own, leverage)
        gateway.signal(signal.SIGSTOP)
        await make_commands_anew(own)
        commands = [own.command(BinanceUsdm(symbol="BTCUSDT"), leverage) for leverage in range(8, 20)]
        await own.send(*commands)
        gateway.signal(signal.SIGCONT)
        events = await own.answers(*commands)
        assert events[-1].leverage == 19
        assert own.simulator.state()["binance_usdm:desk-1:BTCUSDT"] == "19"


@pytest.mark.parametrize(("part", "task"), [("_fetcher", "_fetch_task"), ("_coordinator", "_coordination_task")])
async def test_where_a_task_of_the_client_library_ends_the_group_is_joined_anew(own: Rig, part: str, task: str):
    async with own.gateway() as gateway:
        await answered(own, 5)
        first = gateway.group.consumer
        getattr(getattr(first, part), task).cancel()
        await until(lambda: gateway.group.consumer is not first and gateway.health.ready()[0], "it has joined anew")
        await answered(own, 6)


@pytest.mark.parametrize("call", ["getmany", "commit"])
async def test_a_call_that_the_client_library_cancels_ends_the_membership_and_no_task_of_ours(
    own: Rig, call: str, monkeypatch: pytest.MonkeyPatch
):
    async with own.gateway() as gateway:
        await answered(own, 5)
        first = gateway.group.consumer

        async def cancelled(*_arguments: Any, **_more: Any) -> None:
            raise asyncio.CancelledError

        monkeypatch.setattr(first, call, cancelled)
        await until(lambda: gateway.group.consumer is not first and gateway.health.ready()[0], "it has joined anew")
        await answered(own, 6)


async def test_fetches_that_fail_for_a_session_end_the_membership(own: Rig, monkeypatch: pytest.MonkeyPatch):
    async with own.gateway() as gateway:
        await answered(own, 5)
        first = gateway.group.consumer

        async def refused(*_wanted: Any, **_more: Any) -> None:
            await asyncio.sleep(0.05)
            raise GroupAuthorizationFailedError(own.topics.commands)

        monkeypatch.setattr(first, "getmany", refused)
        await until(lambda: not gateway.health.ready()[0], "it says that it is not ready")
        await until(lambda: gateway.group.consumer is not first and gateway.health.ready()[0], "it has joined anew")
        await answered(own, 6)


async def test_a_takeover_that_the_client_library_cancels_is_begun_again(own: Rig, monkeypatch: pytest.MonkeyPatch):
    cancelled: list[int] = []

    class CancelledOnce:
        def __init__(self, log: Any) -> None:
            self._log = log

        def __getattr__(self, name: str) -> Any:
            return getattr(self._log, name)

        async def read(self, *arguments: Any, **more: Any) -> Any:
            if len(cancelled) < 4:
                cancelled.append(1)
                raise asyncio.CancelledError
            return await self._log.read(*arguments, **more)

    make = group.KafkaAnswerLog
    monkeypatch.setattr(group, "KafkaAnswerLog", lambda **options: CancelledOnce(make(**options)))
    async with own.gateway():
        await answered(own, 5)
    assert len(cancelled) == 4
