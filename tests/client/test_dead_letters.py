"""Dead letters on a real broker: judged against what their lanes have, and sent again exactly once."""

import asyncio
import sys
from collections import Counter
from decimal import Decimal

import msgspec
import pytest

from gateway.client.dead_letters import (
    Coverage,
    Filters,
    LetterRow,
    RedriveOptions,
    TakenOverError,
    open_dead_letters,
    read_plan,
    write_plan,
)
from schemas import LeverageChanged, LeverageRejected, Timestamp, decode_command, encode
from schemas.headers import header
from tests.client.letters import answer, command, letter_headers, records_of

pytestmark = pytest.mark.kafka
OPTIONS = RedriveOptions(operator="kim", note="venue was down")


async def verdicts(desk, **options):
    plan, _ = await desk.plan(Filters(), max_redrives=3, **options)
    return plan, [row.verdict for row in plan.letters]


async def test_each_verdict_comes_of_what_the_topics_say(desk, topics, write):
    past = Timestamp.parse("2026-11-20T12:00:00Z")
    asked = [
        (encode(command(0, "OLD")), letter_headers(0)),
        (encode(command(1, "SAME")), letter_headers(1)),
        (encode(command(2, "LATE", expires_at=past)), letter_headers(2)),
        (b"\xff{" + b"[" * 5000, letter_headers(3)),
        (encode(command(4, "NOKEY")), letter_headers(4, "unknown_account")),
        (encode(command(5, "AGAIN")), letter_headers(5, **{"gateway-redrive-count": b"3"})),
        (encode(command(6, "TWICE")), letter_headers(6)),
        (encode(command(7, "TWICE")), letter_headers(7)),
    ]
    await write(topics.dead_letters, *asked)
    newer = answer(90, LeverageRejected, "OLD", leverage=Decimal(5), reason="policy", message="no")
    same = answer(
        0, LeverageChanged, "SAME", leverage=Decimal(20), requested_leverage=Decimal(20), certainty="confirmed"
    )
    await write(topics.events, (encode(newer), [("gateway-command-offset", b"90")]))
    await write(topics.state, (encode(same), [("gateway-command-offset", b"0")]))
    _, said = await verdicts(desk)
    assert said == [
        "obsolete",
        "already_set",
        "expired",
        "undecodable",
        "unknown_account",
        "came_back",
        "obsolete",
        "apply",
    ]
    plan, _ = await desk.plan(Filters(), ["0:7", "0:99"], max_redrives=3)
    assert [row.verdict for row in plan.letters] == ["apply", "gone"]


async def test_a_letter_is_sent_again_with_its_key_headers_and_disposition_once(desk, topics, write, kafka_bootstrap):
    await write(topics.dead_letters, (encode(command(1)), letter_headers(1)))
    plan, _ = await verdicts(desk)
    await write(topics.dead_letters, (encode(command(2, "LATER")), letter_headers(2)))
    plan = read_plan(write_plan(plan))
    assert [row.verdict async for row in desk.apply(plan, OPTIONS)] == ["apply"]
    assert [row.verdict async for row in desk.apply(plan, OPTIONS)] == ["done"]
    (record,) = await records_of(kafka_bootstrap, topics.commands)
    again = decode_command(record.value)
    assert (record.partition, record.key, again.redrive_of) == (0, b"binance_usdm:desk-1", "c1")
    names = [name for name, _ in record.headers]
    assert names == ["engine", "gateway-redrive-batch", "gateway-redrive-count"]
    assert header(record.headers, "gateway-redrive-batch") == plan.batch
    rows = [row async for row in desk.rows(Filters(state="all"))]
    assert [(row.letter, row.state) for row in rows if isinstance(row, LetterRow)] == [
        ("0:1", "open"),
        ("0:0", "redriven"),
    ]


async def test_what_is_answered_between_plan_and_apply_is_not_sent(desk, topics, write, kafka_bootstrap):
    await write(topics.dead_letters, (encode(command(1)), letter_headers(1)))
    plan, said = await verdicts(desk)
    assert said == ["apply"]
    newer = answer(9, LeverageRejected, leverage=Decimal(5), reason="policy", message="no")
    await write(topics.events, (encode(newer), [("gateway-command-offset", b"9")]))
    assert [row.verdict async for row in desk.apply(plan, OPTIONS)] == ["obsolete"]
    assert await records_of(kafka_bootstrap, topics.commands) == []
    forced = msgspec.structs.replace(OPTIONS, force=frozenset({"obsolete"}))
    assert [row.verdict async for row in desk.apply(plan, forced)] == ["apply"]
    assert len(await records_of(kafka_bootstrap, topics.commands)) == 1


async def test_another_letter_at_a_planned_place_is_not_sent(desk, topics, write, kafka_bootstrap):
    await write(topics.dead_letters, (encode(command(1)), letter_headers(1)))
    plan, _ = await verdicts(desk)
    other = msgspec.structs.replace(plan.letters[0], command_id="of-another-cluster")
    assert [row.verdict async for row in desk.apply(msgspec.structs.replace(plan, letters=[other]), OPTIONS)] == [
        "gone"
    ]
    assert await records_of(kafka_bootstrap, topics.commands) == []


async def test_two_who_apply_one_plan_send_each_letter_once(kafka_bootstrap, topics, write):
    count = 150
    await write(topics.dead_letters, *[(encode(command(n, f"L{n}")), letter_headers(n)) for n in range(count)])

    async def one(plan):
        async with open_dead_letters({"bootstrap_servers": kafka_bootstrap}, topics, group=topics.commands) as desk:
            try:
                return [row.verdict async for row in desk.apply(plan, OPTIONS)]
            except TakenOverError:
                return "taken over"

    async with open_dead_letters({"bootstrap_servers": kafka_bootstrap}, topics, group=topics.commands) as desk:
        plan, _ = await verdicts(desk)
    results = await asyncio.gather(one(plan), one(plan))
    assert any(isinstance(result, list) for result in results)
    await one(plan)
    ids = Counter(
        decode_command(record.value).redrive_of for record in await records_of(kafka_bootstrap, topics.commands)
    )
    assert (len(ids), max(ids.values())) == (count, 1)


KILLED = """
import asyncio, sys
from gateway.client.dead_letters import *
from schemas.topics import Topics
import msgspec
async def main():
    topics = msgspec.json.decode(sys.argv[2], type=Topics)
    async with open_dead_letters({"bootstrap_servers": sys.argv[1]}, topics, group=topics.commands) as desk:
        plan = read_plan(open(sys.argv[3], "rb").read())
        async for row in desk.apply(plan, RedriveOptions(operator="kim", note="again")):
            print(row.verdict, flush=True)
asyncio.run(main())
"""


async def test_a_redrive_killed_again_and_again_sends_each_letter_once(desk, topics, write, kafka_bootstrap, tmp_path):
    count = 300
    await write(topics.dead_letters, *[(encode(command(n, f"L{n}")), letter_headers(n)) for n in range(count)])
    plan, _ = await verdicts(desk)
    path = tmp_path / "plan.json"
    path.write_bytes(write_plan(plan))
    names = msgspec.json.encode(topics).decode()
    for lines in (2, 100, None):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, kafka_bootstrap, names, str(path), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        if lines is None:
            await process.stdout.read()
        else:
            for _ in range(lines):
                await process.stdout.readline()
            process.kill()
        await process.wait()
    ids = Counter(
        decode_command(record.value).redrive_of for record in await records_of(kafka_bootstrap, topics.commands)
    )
    assert (len(ids), max(ids.values())) == (count, 1)


async def test_what_is_archived_is_in_no_list_of_open_ones_until_it_is_restored(desk, topics, write):
    await write(topics.dead_letters, (encode(command(1)), letter_headers(1)))
    put = [one.state async for one in desk.put(["0:0"], state="archived", operator="kim", note="closed")]
    assert put == ["archived"]
    assert [row async for row in desk.rows(Filters()) if isinstance(row, LetterRow)] == []
    assert [one async for one in desk.put(["0:0"], state="archived", operator="kim", note="closed")] == []
    assert [one.state async for one in desk.put(["0:0"], state="open", operator="kim", note="back")] == ["open"]
    rows = [row async for row in desk.rows(Filters())]
    assert [type(row) for row in rows] == [LetterRow, Coverage]


async def test_letters_come_newest_first_over_blocks_and_a_limit_says_what_was_not_looked_at(desk, topics, write):
    await write(topics.dead_letters, *[(encode(command(n)), letter_headers(n)) for n in range(2050)])
    rows = [row async for row in desk.rows(Filters())]
    assert [row.letter for row in rows if isinstance(row, LetterRow)] == [f"0:{n}" for n in reversed(range(2050))]
    assert rows[-1].complete
    first, coverage = [row async for row in desk.rows(Filters(), limit=1)]
    assert first.letter == "0:2049"
    assert not coverage.complete
    assert next((span.begin, span.end) for span in coverage.partitions if span.partition == 0) == (2049, 2050)
