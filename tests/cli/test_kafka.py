"""send, watch and topics against a real broker."""

import asyncio
import json
import os
import signal
import sys
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from gateway.client import Rejected, connect
from schemas import BinanceUsdm, LeverageRejected, Timestamp, decode_command, encode
from schemas.events import fields_of_answer
from schemas.topics import Topics

pytestmark = pytest.mark.kafka
SEND = ("send", "binance_usdm", "--account", "desk-1", "--leverage", "20", "--symbol", "BTCUSDT")


@pytest.fixture
def environ(kafka_bootstrap, topics):
    names = {f"GATEWAY_KAFKA__TOPICS__{role.upper()}": getattr(topics, role) for role in Topics.__struct_fields__}
    return {"GATEWAY_KAFKA__BOOTSTRAP_SERVERS": kafka_bootstrap, "GATEWAY_KAFKA__PARTITIONS": "4", **names}


async def start(environ, *arguments):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200", **environ},
    )


async def run(environ, *arguments):
    process = await start(environ, *arguments)
    out, err = await process.communicate()
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode(), err.decode()


async def answer_all(bootstrap, topics):
    """Stand in for the gateway: reject every command."""
    consumer = AIOKafkaConsumer(topics.commands, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await consumer.start()
    await producer.start()
    try:
        async for record in consumer:
            command = decode_command(record.value or b"")
            event = LeverageRejected(
                **fields_of_answer(command, event_id="e", attempts=0, occurred_at=Timestamp.from_epoch(1.0)),
                leverage=command.leverage,
                reason="policy",
                message="too much\x1b[31m",
                venue_code="-1",
            )
            await producer.send_and_wait(topics.events, encode(event), key=record.key, partition=record.partition)
    finally:
        await consumer.stop()
        await producer.stop()


@pytest.fixture
async def rejecting(kafka_bootstrap, topics):
    task = asyncio.create_task(answer_all(kafka_bootstrap, topics))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_send_publishes_and_says_where(environ):
    code, out, _ = await run(environ, *SEND, "--json", "--command-id", "c1")
    assert code == 0
    assert json.loads(out) == {"command_id": "c1", "partition": json.loads(out)["partition"], "offset": 0}


async def test_send_and_wait_prints_the_rejection_and_exits_1(environ, rejecting):
    code, out, _ = await run(environ, *SEND, "--wait", "--json")
    assert code == 1
    assert (json.loads(out)["type"], json.loads(out)["reason"]) == ("LeverageRejected", "policy")
    code, out, _ = await run(environ, *SEND, "--wait")
    assert code == 1
    assert "policy" in out
    assert "too much" in out
    assert "\x1b" not in out


async def test_send_and_wait_exits_3_where_nobody_answers(environ):
    code, out, err = await run(environ, *SEND, "--wait", "--timeout", "0.5", "--command-id", "c1")
    assert code == 3
    assert "no answer to c1 (partition " in err
    assert out == ""


async def test_watch_prints_events_until_it_is_stopped_and_leaves_quietly(environ, kafka_bootstrap, topics, rejecting):
    async with connect(f"kafka://{kafka_bootstrap}", topics=topics) as client:
        sent = await client.submit(BinanceUsdm(symbol="BTCUSDT"), 20, account="desk-1", wants_answer=True)
        await client.answer(sent, timeout=20)
    watching = await start(environ, "watch", "--json", "--from-beginning")
    assert watching.stdout is not None
    assert json.loads(await watching.stdout.readline())["command_id"] == sent.command.command_id
    watching.send_signal(signal.SIGINT)
    _, err = await watching.communicate()
    assert (watching.returncode, err) == (0, b"")


async def test_watch_ends_quietly_when_its_reader_has_enough(environ, kafka_bootstrap, topics, rejecting):
    watching = await start(environ, "watch", "--from-beginning")
    assert watching.stdout is not None
    async with connect(f"kafka://{kafka_bootstrap}", topics=topics) as client:
        with pytest.raises(Rejected):
            await client.set_leverage(BinanceUsdm(symbol="BTCUSDT"), 20, account="desk-1", timeout=20)
        assert b"policy" in await watching.stdout.readline()
        watching._transport.get_pipe_transport(1).close()  # pyright: ignore[reportAttributeAccessIssue] - asyncio has no public way
        while watching.returncode is None:
            await client.submit(BinanceUsdm(symbol="BTCUSDT"), 20, account="desk-1")
            await asyncio.wait([asyncio.ensure_future(watching.wait())], timeout=0.2)
    assert watching.returncode == 0


async def test_topics_are_made_then_right_then_wrong_by_exit_code(environ):
    fresh = {**environ, **{name: f"t-{uuid4().hex[:8]}" for name in environ if "TOPICS" in name}}
    code, out, _ = await run(fresh, "topics", "check")
    assert code == 1
    assert out.count("is not there") == 6
    code, out, _ = await run(fresh, "topics", "create", "--json")
    assert code == 0
    assert {made["result"] for made in json.loads(out)} == {"created"}
    code, out, _ = await run(fresh, "topics", "check")
    assert (code, out) == (0, "All six topics are as the settings say.\n")
    code, out, _ = await run({**fresh, "GATEWAY_KAFKA__PARTITIONS": "5"}, "topics", "check", "--json")
    assert code == 1
    assert {found["problem"] for found in json.loads(out)["problems"]} == {
        "has 4 partitions; kafka.partitions is 5, for all topics but the policy"
    }


async def test_commands_on_missing_topics_exit_3_with_the_remedy(environ):
    code, _, err = await run({**environ, "GATEWAY_KAFKA__TOPICS__EVENTS": "nowhere-events"}, *SEND)
    assert code == 3
    assert (
        err
        == "no topic nowhere-events at the broker, or this user may not see it; `leverage-gateway topics create` makes it\n"
    )
