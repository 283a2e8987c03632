"""Partitions added to the commands alone, under a running gateway: seen soon, and said."""

from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from schemas import BinanceUsdm, LeverageChanged
from tests.app.processes import until
from tests.app.rig import deployed

pytestmark = pytest.mark.kafka


async def test_partitions_added_to_the_commands_alone_are_said_and_the_others_go_on(
    kafka_bootstrap: str, tmp_path: Path
):
    async with deployed(kafka_bootstrap, tmp_path) as rig, rig.process("gateway") as gateway:
        command = rig.command(BinanceUsdm(symbol="BTCUSDT"), 5)
        assert isinstance((await rig.ask(command))[0], LeverageChanged)
        admin: Any = AIOKafkaAdminClient(bootstrap_servers=rig.bootstrap)
        await admin.start()
        await admin.create_partitions({rig.topics.commands: NewPartitions(rig.partitions + 1)})
        await admin.close()
        await until(lambda: gateway.logged("found_topic_problem"), "the gateway has seen it")
        line = gateway.logged("found_topic_problem")[0]
        assert f"has {rig.partitions + 1} partitions, not the {rig.partitions} of kafka.partitions" in line["problem"]
        assert "make new topics" in line["remedy"]
        assert line["level"] == "error"
        await until(lambda: len(gateway.logged("restored_partition")) == 2 * rig.partitions, "it works on those it had")
