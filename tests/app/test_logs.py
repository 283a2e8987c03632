"""Each line of a gateway's log can be read alone: what, when, how bad, and about a command which one."""

import msgspec
import pytest

from gateway.simulator import Fault
from schemas import BinanceUsdm, Timestamp, Ztdx
from tests.app.processes import until
from tests.app.rig import Rig

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]
OF_A_COMMAND = {"changed_leverage", "rejected_command", "skipped_repeat", "retrying_call", "dead_lettered_record"}


async def test_every_line_tells_by_itself_what_it_is_about(rig: Rig):
    rig.simulator.faults.add(Fault(kind="service_unavailable_503", venue="binance_usdm", lane="ETHUSDT", calls=1))
    changed, refused, unknown = rig.command(), rig.command(leverage=0), rig.command(account="nobody")
    again, twice = rig.command(BinanceUsdm(symbol="ETHUSDT")), rig.command(Ztdx(symbol="BTCUSDT"))
    async with rig.process("logs") as process:
        await rig.ask(changed, refused, unknown, again, twice)
        await rig.send(twice)
        garbage = await rig.put(b'{"a line":\n"of its own"}\n', partition=1)
        await until(lambda: len(process.logged("dead_lettered_record")) == 2, "all is told")
        await until(lambda: process.logged("skipped_repeat"), "the repeat is told too")
        assert await process.terminate() == 0

    lines = [msgspec.json.decode(line) for line in process.log.splitlines()]
    for line in lines:
        Timestamp.parse(line["time"])
        assert line["level"] in {"info", "warning", "error"}
        assert line["event"]
        assert line["logger"]
    by_id = {command.command_id: command for command in (changed, refused, unknown, again, twice)}
    about = [line for line in lines if line["event"] in OF_A_COMMAND]
    [undecodable] = [line for line in about if line["event"] == "dead_lettered_record" and "command_id" not in line]
    assert (undecodable["partition"], undecodable["offset"]) == (garbage.partition, garbage.offset)
    about.remove(undecodable)
    assert {line["event"] for line in about} == OF_A_COMMAND
    for line in about:
        command = by_id[line["command_id"]]
        venue, account = command.key.split(":")
        assert (line["venue"], line["account"], line["lane"]) == (venue, account, command.target.lane)
        assert {"partition", "offset"} <= line.keys()
