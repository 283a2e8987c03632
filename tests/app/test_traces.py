"""Traces of a running gateway, as a collector gets them by OTLP; and a collector that is none."""

import asyncio
import subprocess
import sys
from itertools import pairwise

import pytest
from aiohttp import ClientSession
from msgspec.structs import replace

from gateway.settings.tree import TracesSettings
from gateway.simulator import Fault
from gateway.telemetry import span_export
from schemas import BinanceUsdm, LeverageChanged, Okx
from tests.app.otlp import collector
from tests.app.processes import PATIENCE, until

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONSUMER, PRODUCER, CLIENT, INTERNAL = 5, 4, 3, 1
REFUSED = "http://127.0.0.1:1/v1/traces"


def traced(rig, endpoint, **more):
    return replace(rig.settings(), traces=TracesSettings(endpoint=endpoint, **more))


def traceparent(flags="01"):
    return ("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-{flags}".encode())


async def test_a_command_is_one_trace_below_its_producers_span(rig):
    command = rig.command(Okx(margin_mode="cross", instrument="BTC-USDT-SWAP"))
    async with collector() as otlp, rig.gateway(traced(rig, otlp.url)):
        [place] = await rig.send(command, headers=[traceparent()])
        await rig.answers(command)
        await until(lambda: len(otlp.trace_of(command.command_id)) == 7, "the trace is there")
    spans = otlp.trace_of(command.command_id)
    topics = rig.topics
    process, receive, settle = (
        spans[f"process {topics.commands}"],
        spans[f"receive {topics.commands}"],
        spans[f"settle {topics.events}"],
    )
    call = spans["POST /api/v5/account/set-leverage"]
    in_order = [receive, spans["wait in lane"], spans["wait for permit"], spans["sign"], call, settle]
    assert {span.trace_id for span in spans.values()} == {TRACE_ID}
    assert process.parent_id == PARENT_ID
    assert {span.parent_id for span in in_order} == {process.span_id}
    assert [span.kind for span in (process, *in_order)] == [
        CONSUMER,
        CLIENT,
        INTERNAL,
        INTERNAL,
        INTERNAL,
        CLIENT,
        PRODUCER,
    ]
    for before, after in pairwise(in_order):
        assert before.start <= before.end <= after.start + 1e-6
    assert (receive.end, settle.end) == (process.start, process.end)
    assert process.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": topics.commands,
        "messaging.destination.partition.id": str(place.partition),
        "messaging.consumer.group.name": topics.commands,
        "messaging.kafka.offset": place.offset,
        "messaging.message.id": command.command_id,
        "leverage.venue": "okx",
        "leverage.account": "desk-1",
        "leverage.lane": command.target.lane,
        "leverage.outcome": "changed",
        "leverage.attempts": 1,
    }
    assert call.attributes["http.response.status_code"] == 200
    assert otlp.services == {topics.commands}


async def test_who_brings_no_trace_or_garbage_gets_one_of_its_own_and_who_is_not_sampled_none(rig):
    headers = [
        [],
        [("traceparent", b"\xff\x00garbage")],
        [("traceparent", b"00-" + b"0" * 400_000)],
        [traceparent("00")],
    ]
    commands = [rig.command(BinanceUsdm(symbol=f"T{number}USDT"), 0) for number in range(4)]
    async with collector() as otlp, rig.gateway(traced(rig, otlp.url)):
        for command, header in zip(commands, headers, strict=True):
            await rig.send(command, headers=header)
        await rig.answers(*commands)
        await rig.ask(last := rig.command(leverage=0))
        await until(lambda: otlp.trace_of(last.command_id), "what came before the last is there")
    found = [otlp.trace_of(command.command_id).get(f"process {rig.topics.commands}") for command in commands]
    assert found[3] is None
    assert {root.parent_id for root in found[:3]} == {""}
    assert len({root.trace_id for root in found[:3]} | {TRACE_ID}) == 4
    assert {root.attributes["leverage.outcome"] for root in found[:3]} == {"invalid"}


async def test_of_those_that_begin_here_only_the_share_asked_for_is_made(rig):
    theirs, ours = rig.command(), rig.command()
    async with collector() as otlp, rig.gateway(traced(rig, otlp.url, share=0.0)):
        await rig.ask(ours)
        await rig.send(theirs, headers=[traceparent()])
        await rig.answers(theirs)
        await until(lambda: otlp.trace_of(theirs.command_id), "the trace is there")
    assert otlp.trace_of(ours.command_id) == {}


async def test_a_call_that_is_made_again_is_seen_with_what_went_wrong(rig):
    command = rig.command(BinanceUsdm(symbol="ETHUSDT"), 7)
    rig.simulator.faults.add(Fault(kind="service_unavailable_503", venue="binance_usdm", lane="ETHUSDT", calls=1))
    async with collector() as otlp, rig.gateway(traced(rig, otlp.url)):
        assert isinstance((await rig.ask(command))[0], LeverageChanged)
        await until(lambda: otlp.trace_of(command.command_id), "the trace is there")
    calls = [span for span in otlp.spans if span.name.startswith("POST")]
    assert [(span.is_error, span.attributes["http.response.status_code"]) for span in calls] == [
        (True, 503),
        (False, 200),
    ]
    assert len([span for span in otlp.spans if span.name == "wait in lane"]) == 2


@pytest.mark.parametrize("is_there", [True, False], ids=["hangs", "is gone"])
async def test_a_collector_that_is_none_holds_nothing_up_and_what_it_misses_is_counted(rig, monkeypatch, is_there):
    monkeypatch.setattr(span_export, "MOST_WAITING", 50)
    monkeypatch.setattr(span_export, "REQUEST_PATIENCE", 0.3)
    commands = [rig.command(BinanceUsdm(symbol=f"S{number}USDT"), 0) for number in range(300)]
    async with collector() as otlp:
        otlp.hangs = True
        async with rig.gateway(traced(rig, otlp.url if is_there else REFUSED)) as gateway:
            await rig.ask(*commands)
            await rig.ask(rig.command())
            await until(lambda: gateway.spans.dropped > 250, "what has no room is dropped")
            async with ClientSession(gateway.server.url) as http:
                await told(http, "gateway_traces_dropped_total", gateway.spans.dropped)
        assert (otlp.hanging > 0, otlp.spans) == (is_there, [])


async def told(http, name, least):
    """Until a metric is as high."""
    async with asyncio.timeout(PATIENCE):
        while True:
            text = await (await http.get("/metrics")).text()
            if float(text.partition(f"\n{name} ")[2].partition("\n")[0]) >= least:
                return


async def test_nothing_of_opentelemetry_is_imported_while_it_is_off(rig):
    code = (
        "import sys, gateway.app, gateway.cli; from pathlib import Path; from gateway.settings.tree import Settings\n"
        "gateway.app.Gateway(Settings(), base_dir=Path())\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'google.protobuf'))])"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: ASYNC221
    assert told.stdout == "[]\n"
