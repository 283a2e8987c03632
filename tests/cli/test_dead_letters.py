"""dead-letters against a real broker: what it prints for programs and for people, and what it says with its exit code."""

import asyncio
import json
import os
import signal
import sys
from decimal import Decimal

import pytest
from aiokafka import AIOKafkaProducer

from gateway.cli.commands import make_app
from gateway.cli.exits import explain
from schemas import LeverageChanged, encode
from schemas.topics import Topics
from tests.client.letters import answer, command, letter_headers, records_of, rejected

pytestmark = pytest.mark.kafka
HOSTILE = "\x1b[2J\x9b31m\x85[bold]\u202e\x00"


@pytest.fixture
def environ(kafka_bootstrap, topics, monkeypatch):
    names = {f"GATEWAY_KAFKA__TOPICS__{role.upper()}": getattr(topics, role) for role in Topics.__struct_fields__}
    settings = {"GATEWAY_KAFKA__BOOTSTRAP_SERVERS": kafka_bootstrap, "GATEWAY_KAFKA__PARTITIONS": "4", **names}
    settings |= {"GATEWAY_KAFKA__GROUP_ID": topics.commands, "COLUMNS": "200"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return settings


@pytest.fixture
async def write(kafka_bootstrap):
    """Write records to partition 0 of a topic."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap, max_request_size=4_000_000)
    await producer.start()

    async def send(topic, *records, key=b"binance_usdm:desk-1"):
        for value, headers in records:
            await producer.send(topic, value, key=key, partition=0, headers=headers)
        await producer.flush()

    yield send
    await producer.stop()


async def call(capsys, *arguments):
    """Run a command in this process; its exit code, and what it printed."""
    capsys.readouterr()

    def run():
        try:
            return make_app()(["dead-letters", *arguments], result_action="return_value"), ""
        except Exception as error:  # noqa: BLE001 - as the process does
            return explain(error) or (None, repr(error))

    code, err = await asyncio.to_thread(run)
    return code, capsys.readouterr().out, err


async def objects(capsys, *arguments):
    code, out, _ = await call(capsys, *arguments, "--json")
    return code, [json.loads(line) for line in out.splitlines()]


async def apply(environ, *arguments):
    """Apply a plan as a process of its own: signals are the main thread's."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "dead-letters",
        "redrive",
        "--json",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
    )
    out, err = await process.communicate()
    assert b"Traceback" not in err, err.decode()
    return process.returncode, [json.loads(line) for line in out.splitlines()], err.decode()


@pytest.mark.usefixtures("environ")
async def test_a_letter_is_shown_with_its_event_and_what_its_lane_has_and_was_asked_since(capsys, topics, write):
    await write(
        topics.commands, (encode(command(0)), []), (encode(command(1)), []), (encode(command(2, leverage=5)), [])
    )
    await write(topics.dead_letters, (encode(command(1)), letter_headers(1)))
    failed = rejected(1, dead_lettered=True, venue_code="-1")
    set_to = answer(2, LeverageChanged, leverage=Decimal(5), requested_leverage=Decimal(5), certainty="confirmed")
    for number, event in ((1, failed), (2, set_to)):
        await write(topics.events, (encode(event), [("gateway-command-offset", b"%d" % number)]))
    code, (shown, coverage) = await objects(capsys, "show", "0:0")
    assert (code, shown["type"], shown["letter"], shown["state"], shown["code"]) == (
        0,
        "DeadLetter",
        "0:0",
        "open",
        "-1",
    )
    assert (shown["command"]["command_id"], shown["errors"]["reason"]) == ("c1", "venue_unavailable")
    assert (shown["event"]["type"], shown["disposition"]) == ("LeverageRejected", None)
    assert shown["lane_now"]["leverage"] == "5"
    (later,) = shown["lane_now"]["asked_since"]
    assert (later["offset"], later["command_id"], later["outcome"]) == (2, "c2", "changed")
    assert coverage == {"type": "Coverage", "partitions": [{"partition": 0, "from": 0, "to": 1}], "complete": True}
    code, out, _ = await call(capsys, "show", "0:0")
    assert (code, "lane now" in out, "asked since" in out) == (0, True, True)
    assert (await objects(capsys, "show", "0:7"))[0] == 1
    assert (await call(capsys, "show", "here"))[0] == 2


@pytest.mark.usefixtures("environ")
async def test_groups_are_counted_by_several_and_tell_of_brakes(capsys, topics, write):
    letters = [(encode(command(n, f"L{n}")), letter_headers(n)) for n in range(3)]
    await write(topics.dead_letters, *letters, (b"{", letter_headers(3, "undecodable")))
    await write(topics.events, (encode(rejected(0, "L0", venue_code="-1")), [("gateway-command-offset", b"0")]))
    code, rows = await objects(capsys, "groups", "--by", "reason", "--by", "fingerprint", "--by", "code")
    assert code == 0
    counts = {(row["by"], row["value"]): row["count"] for row in rows if row["type"] == "DeadLetterGroup"}
    assert counts["reason", "venue_unavailable"] == 3
    assert counts["reason", "undecodable"] == 1
    assert sorted(counts[key] for key in counts if key[0] == "fingerprint") == [1, 1, 2]
    assert (counts["code", "-1"], counts["code", None]) == (1, 3)
    brakes = {row["venue"]: row for row in rows if row["type"] == "Brake"}
    assert len(brakes) == 5
    assert (brakes["binance_usdm"]["on"], brakes["binance_usdm"]["left_out"]) == (False, 1)
    assert rows[-1]["type"] == "Coverage"
    assert len((await objects(capsys, "list", "--code", "-1"))[1]) == 2


async def test_a_redrive_is_followed_letter_by_letter_and_what_failed_again_is_a_filter(
    capsys, environ, topics, write, tmp_path
):
    await write(topics.dead_letters, *[(encode(command(n, f"L{n}")), letter_headers(n)) for n in range(3)])
    plan = str(tmp_path / "plan.json")
    assert (await objects(capsys, "redrive", "--plan", plan))[0] == 0
    code, rows, err = await apply(environ, "--apply", plan, "--note", "again", "--operator", "kim")
    assert (code, err) == (0, "")
    assert [row.get("verdict") for row in rows] == ["apply", "apply", "apply", None]
    assert rows[-1] == {"type": "Coverage", "partitions": [{"partition": 0, "from": 0, "to": 3}], "complete": True}
    code, (batch, _) = await objects(capsys, "batches")
    assert (batch["operator"], batch["note"], batch["letters"]) == ("kim", "again", 3)
    _, rows = await objects(capsys, "batches", batch["batch"])
    ids = [row["command_id"] for row in rows[:-1]]
    assert [row["outcome"] for row in rows[:-1]] == ["open"] * 3
    done = answer(0, LeverageChanged, "L0", leverage=Decimal(1), requested_leverage=Decimal(1), certainty="confirmed")
    failed = rejected(1, "L1", command_id=ids[1], dead_lettered=True)
    for event in (answer(0, type(done), "L0", **{**_own(done), "command_id": ids[0]}), failed):
        await write(topics.events, (encode(event), []))
    again = [("gateway-redrive-batch", batch["batch"].encode()), ("gateway-redrive-count", b"1")]
    await write(topics.dead_letters, (encode(command(4, "L1")), [*letter_headers(4), *again]))
    code, rows = await objects(capsys, "batches", batch["batch"])
    assert (code, [row["outcome"] for row in rows[:-1]]) == (0, ["changed", "venue_unavailable", "open"])
    code, out, _ = await call(capsys, "batches", batch["batch"])
    assert f"redrive --batch {batch['batch']}" in out
    _, (row, _) = await objects(capsys, "redrive", "--batch", batch["batch"])
    assert (row["letter"], row["verdict"]) == ("0:3", "apply")
    assert (await objects(capsys, "batches", "rd-none"))[0] == 1


async def test_sigterm_ends_a_redrive_in_order_and_it_says_how_to_go_on(capsys, environ, topics, write, tmp_path):
    await write(topics.dead_letters, *[(encode(command(n, f"L{n}")), letter_headers(n)) for n in range(60)])
    plan = str(tmp_path / "plan.json")
    assert (await objects(capsys, "redrive", "--plan", plan))[0] == 0
    again = ("redrive", "--apply", plan, "--note", "again", "--operator", "kim", "--json")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "dead-letters",
        *again,
        "--rate",
        "10",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
    )
    assert process.stdout is not None
    first = await process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    out, err = await process.communicate()
    rows = [json.loads(line) for line in (first + out).splitlines()]
    assert process.returncode == 1
    assert f"it was told to stop; go on with: leverage-gateway dead-letters redrive --apply {plan}" in err.decode()
    assert {row["verdict"] for row in rows[:-1]} == {"apply"}
    assert rows[-1] == {
        "type": "Coverage",
        "partitions": [{"partition": 0, "from": 0, "to": len(rows) - 1}],
        "complete": False,
    }
    code, rest, _ = await apply(environ, *again[1:-1])
    assert (code, rest[-1]["complete"]) == (0, True)
    assert sum(row.get("verdict") == "apply" for row in rest) == 60 - len(rows[:-1])


def _own(event):
    return {name: getattr(event, name) for name in ("leverage", "requested_leverage", "certainty")}


@pytest.mark.usefixtures("environ")
async def test_what_is_put_aside_by_name_or_by_filter_ends_with_what_was_looked_at(capsys, topics, write):
    await write(topics.dead_letters, *[(encode(command(n, f"L{n}")), letter_headers(n)) for n in range(3)])
    code, (one, coverage) = await objects(capsys, "archive", "0:1", "--note", "closed")
    assert (code, one["letter"], one["state"]) == (0, "0:1", "archived")
    assert coverage["partitions"] == [{"partition": 0, "from": 1, "to": 2}]
    code, rows = await objects(capsys, "archive", "--lane", "L0", "--lane", "L1", "--note", "closed")
    assert (code, [row.get("letter") for row in rows]) == (0, ["0:0", None])
    assert rows[-1]["complete"]
    code, rows = await objects(capsys, "restore", "--note", "back")
    assert (code, sorted(row["letter"] for row in rows[:-1])) == (0, ["0:0", "0:1"])
    assert (await objects(capsys, "restore", "0:2", "--note", "back"))[0] == 1


@pytest.mark.usefixtures("environ")
async def test_undecodable_bytes_go_out_and_a_corrected_command_comes_in_once(
    capsys, topics, write, tmp_path, kafka_bootstrap
):
    wrong = json.loads(encode(command(7))) | {"leverage": "twenty"}
    await write(topics.dead_letters, (json.dumps(wrong).encode(), letter_headers(7, "undecodable")))
    await write(topics.dead_letters, (encode(command(8)), letter_headers(8)))
    path = tmp_path / "letter.json"
    assert (await call(capsys, "export", "0:0", "--out", str(path)))[0] == 0
    assert (await call(capsys, "export", "0:0", "--out", str(path)))[0] == 2
    assert (await call(capsys, "export", "0:1", "--out", str(tmp_path / "other")))[0] == 1
    draft = json.loads(path.read_bytes())
    assert (draft["venue"], draft["account"], draft["command"]["leverage"]) == ("binance_usdm", "desk-1", "twenty")
    mend = ("mend", str(path), "--note", "as a word", "--operator", "kim")
    code, _, err = await call(capsys, *mend)
    assert (code, "`command` is no command yet" in err, "$.leverage" in err) == (2, True, True)
    draft["command"] |= {"leverage": "20", "account": "desk-2"}
    path.write_text(json.dumps(draft))
    code, _, err = await call(capsys, *mend)
    assert (code, "account is desk-1, and mending does not change it" in err) == (2, True)
    draft["command"]["account"] = "desk-1"
    path.write_text(json.dumps(draft | {"sha256": "0" * 64}))
    code, _, err = await call(capsys, *mend)
    assert (code, "has other bytes than were exported" in err) == (1, True)
    path.write_text(json.dumps(draft))
    code, (disposition, coverage) = await objects(capsys, *mend)
    assert coverage["type"] == "Coverage"
    assert (code, disposition["state"], disposition["letter"], disposition["operator"]) == (0, "mended", "0:0", "kim")
    code, _, err = await call(capsys, *mend)
    assert (code, err) == (1, "letter 0:0 is mended already")
    (record,) = await records_of(kafka_bootstrap, topics.commands)
    sent = json.loads(record.value)
    assert (sent["command_id"], sent["redrive_of"], sent["leverage"]) == (disposition["command_id"], "c7", "20")
    assert record.key == b"binance_usdm:desk-1"


@pytest.mark.usefixtures("environ")
async def test_hostile_letters_disturb_neither_terminal_nor_json(capsys, topics, write):
    forged = [(name, HOSTILE.encode()) for name in ("gateway-redrive-batch", "gateway-redrive-count", "content-type")]
    forged += [(f"__connect.errors.{name}", HOSTILE.encode() * 1_000) for name in ("exception.message", "partition")]
    headers = [("gateway-command-offset", HOSTILE.encode()), *forged]
    headers += [(f"__gateway.errors.{name}", HOSTILE.encode()) for name in ("reason", "message", "failed_at", "offset")]
    hostile = encode(command(0, "L", issuer=HOSTILE))
    for value in (hostile, b"\xff\xfe{", b"[" * 100_000, b"x" * 900_000, b"", None):
        await write(topics.dead_letters, (value, headers), (value, []), key=HOSTILE.encode())
    shows = [("show", f"0:{number}") for number in (0, 4)]
    for arguments in (
        ("list",),
        ("groups", "--by", "reason", "--by", "issuer", "--by", "fingerprint"),
        *shows,
        ("redrive",),
    ):
        code, rows = await objects(capsys, *arguments)
        assert (code, rows[-1]["type"]) == (0, "Coverage")
        code, out, _ = await call(capsys, *arguments)
        assert code == 0
        assert all(line.isprintable() for line in out.split("\n"))
