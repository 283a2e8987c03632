"""What only the wire shows: raw bytes, answers that come late, odds, and the clock in every answer."""

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from urllib.parse import urlsplit

import pytest

from gateway.simulator import Fault
from tests.simulator.by_hand import KEY, Caller, signed

AN_HOUR = 3600.0


async def sent_raw(caller: Caller, head: bytes) -> bytes:
    """The answer to these very bytes, which no HTTP client has tidied up."""
    address = urlsplit(caller.simulator.url)
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(head)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    return answer


async def until(met: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not met():  # noqa: ASYNC110 - the server's task sets no event
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(("symbol", "status"), [("测试USDT", b"400"), ("%E6%B5%8B%E8%AF%95USDT", b"200")])
async def test_a_query_that_is_not_percent_encoded_is_refused(caller: Caller, symbol: str, status: bytes):
    query = signed(f"symbol={symbol}&leverage=5&timestamp={caller.now_ms}")
    head = f"POST /binance_usdm/fapi/v1/leverage?{query} HTTP/1.1\r\nHost: a\r\nX-MBX-APIKEY: {KEY}\r\n"
    answer = await sent_raw(caller, f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ", 2)[1] == status


@pytest.mark.parametrize(("symbol", "code"), [("测试USDT", -1022), ("%E6%B5%8B%E8%AF%95USDT", 0)])
async def test_a_form_that_is_not_percent_encoded_is_refused_though_it_was_signed_so(
    caller: Caller, symbol: str, code: int
):
    body = signed(f"symbol={symbol}&leverage=5&timestamp={caller.now_ms}").encode()
    headers = {"X-MBX-APIKEY": KEY, "Content-Type": "application/x-www-form-urlencoded"}
    answer = await caller.send("binance_usdm", "POST", "/fapi/v1/leverage", body=body, headers=headers)
    assert answer.code == code


@pytest.mark.parametrize(("kind", "applied"), [("latency", True), ("latency_before", False)])
async def test_a_late_answer_is_open_in_the_journal_and_applied_early_or_late(
    caller: Caller, kind: str, *, applied: bool
):
    caller.simulator.faults.add(Fault(kind=kind, venue="okx", seconds=AN_HOUR))
    call = asyncio.create_task(caller.call("okx"))
    await until(lambda: caller.simulator.journal.entries)
    (entry,) = caller.simulator.journal.entries
    assert (entry.applied_at is not None, entry.finished_at, entry.status) == (applied, None, None)
    await caller.simulator.stop()  # lets go of it
    assert (await call).status == 200
    assert (entry.applied_at is not None, entry.status, entry.verdict) == (True, 200, "applied")


async def test_a_late_answer_is_the_venues_own_refusal_too(caller: Caller):
    caller.simulator.faults.add(Fault(kind="latency", venue="binance_usdm", seconds=0.0))
    answer = await caller.binance("binance_usdm", "symbol=NOUSDT&leverage=5")
    assert (answer.status, answer.code) == (400, -1121)


async def test_a_ban_that_lets_its_call_through_is_still_a_ban(caller: Caller):
    caller.simulator.faults.add(Fault(kind="ban", venue="binance_usdm", calls=1, applied=True))
    assert (await caller.call("binance_usdm")).status == 418
    assert caller.simulator.state()


async def test_odds_hit_about_as_often_as_they_say(caller: Caller):
    caller.simulator.faults.add(Fault(kind="unknown_503", venue="ztdx", odds=0.3))
    found = [(await caller.call("ztdx")).status for _ in range(200)]
    assert set(found) == {200, 503}
    assert 40 <= found.count(503) <= 80


@pytest.mark.parametrize("venue", ["binance_margin", "binance_usdm", "binance_portfolio", "okx", "ztdx"])
async def test_every_answer_is_dated_by_the_venues_clock(caller: Caller, venue: str):
    caller.simulator.faults.add(Fault(kind="clock_skew", venue=venue, seconds=-AN_HOUR))  # pyright: ignore[reportArgumentType]
    answer = await caller.call(venue)
    assert answer.headers["Date"] == formatdate(caller.clock.wall() - AN_HOUR, usegmt=True)


async def test_the_clock_of_one_venue_is_not_anothers(caller: Caller):
    caller.simulator.faults.add(Fault(kind="clock_skew", venue="binance_usdm", seconds=AN_HOUR))
    assert (await caller.call("binance_usdm")).code == -1021
    assert (await caller.call("ztdx")).status == 200


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[" * 100_000, b"{" * 10, b'{"lever":' + b"9" * 5000 + b"}"])
@pytest.mark.parametrize("venue", ["okx", "ztdx"])
async def test_garbage_is_answered_4xx_and_is_in_the_journal(caller: Caller, venue: str, body: bytes):
    path = "/api/v5/account/set-leverage" if venue == "okx" else "/fapi/v1/leverage"
    headers = caller.okx_headers("POST", path, body) | {"X-MBX-APIKEY": KEY, "Content-Type": "application/json"}
    target = path if venue == "okx" else f"{path}?{signed(f'timestamp={caller.now_ms}', body)}"
    answer = await caller.send(venue, "POST", target, body=body, headers=headers)
    assert 400 <= answer.status < 500
    (entry,) = caller.simulator.journal.entries
    assert (entry.value, entry.verdict) in {("0", "bad_request"), ("0", "refused")}
