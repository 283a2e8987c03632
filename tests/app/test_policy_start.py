"""Gateways that start under a policy: what they know of the past, and what they do where the topic is not there."""

import time

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from msgspec.structs import replace

from gateway.kafka.connection import UnreachableError
from gateway.settings.tree import PolicySettings
from schemas import BinanceUsdm
from tests.app.rig import Rig
from tests.app.test_policy import ETH, write
from tests.policy.desk import applied

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]


async def test_who_takes_over_knows_when_a_lane_last_changed(rig: Rig):
    cool = BinanceUsdm(symbol="SIM3USDT")
    async with rig.gateway():
        await rig.ask(rig.command(cool, 5))
    await write(rig, applied('[rules.cool]\nsymbol = "SIM3*"\ncool_down = 3600\n'))
    async with rig.gateway():
        raised, lowered = await rig.ask(rig.command(cool, 6)), await rig.ask(rig.command(cool, 4))
    assert (raised[0].reason, raised[0].policy_rules) == ("policy", ("cool.cool_down",))
    assert raised[0].retry_at.timestamp() > time.time()
    assert lowered[0].leverage == 4
    await write(rig, applied(""))


async def test_without_the_policy_topic_a_gateway_does_not_start_or_starts_frozen_as_a_setting_says(rig: Rig):
    settings = rig.settings(
        kafka={"topics": replace(rig.topics, policy=f"{rig.topics.policy}-gone"), "request_timeout_ms": 2000}
    )
    with pytest.raises(BaseExceptionGroup) as failed:
        async with rig.gateway(settings):
            pass
    unreached = failed.value.subgroup(UnreachableError)
    assert unreached is not None
    assert "policy.unreadable_at_start" in str(unreached.exceptions)
    async with rig.gateway(replace(settings, policy=PolicySettings(unreadable_at_start="freeze"))) as gateway:
        [event] = await rig.ask(rig.command(ETH))
        assert (event.reason, event.policy_rules) == ("policy", ("freeze:policy-unreadable",))
        assert not gateway.guard.may_call or gateway.guard.is_blind
    admin = AIOKafkaAdminClient(bootstrap_servers=rig.bootstrap)
    await admin.start()
    assert settings.kafka.topics.policy not in await admin.list_topics()
    await admin.close()
