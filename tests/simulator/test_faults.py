"""Each fault does what its name says: what is answered, and whether the call was applied."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from gateway.simulator import Fault
from gateway.simulator.exchange import VENUES
from gateway.simulator.faults import KINDS
from tests.simulator.by_hand import CALL_LANES, DESK, Answer, Caller

# By name and family: the status, or what happens instead, the venue's code, and whether the call was applied.
BINANCE_LIKE: dict[str, tuple[int | str, int | None, bool]] = {
    "latency": (200, 0, True),
    "latency_before": (200, 0, True),
    "reset_before": ("reset", None, False),
    "reset_after": ("reset", None, True),
    "black_hole_before": ("silence", None, False),
    "black_hole_after": ("silence", None, True),
    "unknown_503": (503, -1000, False),
    "service_unavailable_503": (503, None, False),
    "internal_503": (503, -1001, False),
    "unexpected_500": (500, -1006, False),
    "timeout_504": (504, -1007, False),
    "timeout_408": (408, -1007, False),
    "protected_503": (503, -1008, False),
    "truncated": (200, None, True),
    "html": (200, None, True),
    "empty": (200, None, True),
    "outage": (503, None, False),
    "waf": (403, None, False),
    "too_many": (429, -1003, False),
    "ban": (418, -1003, False),
    "key_revoked": (401, -2015, False),
    "clock_skew": (400, -1021, False),
}
OKX: dict[str, tuple[int | str, int | None, bool]] = {
    **{name: row for name, row in BINANCE_LIKE.items() if row[1] in {0, None}},
    "okx_50001": (503, 50001, False),
    "okx_50004": (400, 50004, False),
    "okx_50011": (200, 50011, False),
    "okx_50013": (429, 50013, False),
    "okx_50026": (500, 50026, False),
    "too_many": (429, 50011, False),
    "key_revoked": (401, 50111, False),
    "clock_skew": (401, 50102, False),
}
del OKX["service_unavailable_503"]
EXPECTED = {venue: OKX if venue == "okx" else BINANCE_LIKE for venue in VENUES}
CASES = [(venue, name) for venue in VENUES for name in EXPECTED[venue]]
TEXTS = {
    "unknown_503": "Unknown error, please check your request or try again later.",
    "service_unavailable_503": "Service Unavailable.",
    "internal_503": "Internal error; unable to process your request. Please try again.",
    "protected_503": "Request throttled by system-level protection",
}


def lane_of(venue: str) -> str:
    return CALL_LANES.get(venue, "BTCUSDT")


def applied(caller: Caller, venue: str) -> bool:
    return f"{venue}:{DESK}:{lane_of(venue)}" in caller.simulator.state()


async def struck(caller: Caller, venue: str) -> Answer | str:
    """The answer, or what happened instead of one."""
    try:
        async with asyncio.timeout(0.5):
            return await caller.call(venue)
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
        return "reset"
    except TimeoutError:
        return "silence"


async def until(met: Callable[[], object]) -> None:
    async with asyncio.timeout(5.0):
        while not met():  # noqa: ASYNC110 - the server's task sets no event
            await asyncio.sleep(0.001)


def test_every_fault_of_the_table_is_shown_here():
    assert {(venue, kind.name) for kind in KINDS for venue in kind.venues} == set(CASES)


@pytest.mark.parametrize(("venue", "name"), CASES)
async def test_fault(caller: Caller, venue: str, name: str):
    status, code, takes_effect = EXPECTED[venue][name]
    seconds = 0.01 if name.startswith("latency") else None
    await caller.control("POST", "faults", {"kind": name, "venue": venue, "calls": 1, "seconds": seconds})
    found = await struck(caller, venue)
    told: Any = found if isinstance(found, str) else found.status
    assert (told, applied(caller, venue)) == (status, takes_effect)
    if code is not None and isinstance(found, Answer):
        assert found.code == code
        assert TEXTS.get(name, "") in found.text


@pytest.mark.parametrize("name", ["unknown_503", "timeout_408", "unexpected_500", "timeout_504"])
async def test_an_unknown_outcome_may_have_been_applied(caller: Caller, name: str):
    caller.simulator.faults.add(Fault(kind=name, venue="binance_usdm", applied=True))
    assert (await caller.call("binance_usdm")).status >= 400
    assert applied(caller, "binance_usdm")


async def test_okx_50004_may_have_been_applied(caller: Caller):
    caller.simulator.faults.add(Fault(kind="okx_50004", venue="okx", applied=True))
    assert (await caller.call("okx")).code == 50004
    assert applied(caller, "okx")


@pytest.mark.parametrize("name", ["reset_after", "black_hole_after", "truncated", "empty", "html"])
async def test_a_fault_applies_nothing_that_the_venue_refuses(caller: Caller, name: str):
    caller.simulator.faults.add(Fault(kind=name, venue="binance_usdm"))
    try:
        async with asyncio.timeout(0.5):
            await caller.binance("binance_usdm", secret="another")
    except (aiohttp.ClientError, TimeoutError):
        pass
    assert caller.simulator.state() == {}


async def test_a_fault_hits_as_many_calls_as_it_was_told(caller: Caller):
    caller.simulator.faults.add(Fault(kind="unknown_503", venue="binance_usdm", calls=2))
    assert [(await caller.call("binance_usdm")).status for _ in range(3)] == [503, 503, 200]
    assert list(caller.simulator.faults) == []


async def test_a_fault_hits_its_venue_account_and_lane_alone(caller: Caller):
    caller.simulator.faults.add(Fault(kind="outage", venue="binance_usdm", account="another"))
    caller.simulator.faults.add(Fault(kind="outage", venue="binance_usdm", lane="ETHUSDT"))
    assert (await caller.call("binance_usdm")).status == 200
    assert (await caller.binance("binance_usdm", "symbol=ETHUSDT&leverage=5")).status == 503
    assert (await caller.call("binance_portfolio")).status == 200


async def test_a_fault_is_switched_off_by_its_id_or_with_all_others(caller: Caller):
    first = await caller.control("POST", "faults", {"kind": "outage", "venue": "binance_usdm"})
    await caller.control("POST", "faults", {"kind": "outage", "venue": "okx"})
    await caller.control("DELETE", f"faults/{first['id']}")
    assert [(await caller.call(venue)).status for venue in ("binance_usdm", "okx")] == [200, 503]
    await caller.control("DELETE", "faults")
    assert (await caller.call("okx")).status == 200


@pytest.mark.parametrize("wrong", [{"kind": "no", "venue": "okx"}, {"kind": "ban", "venue": "okx"}, {"kind": "outage"}])
async def test_a_fault_that_is_not_there_cannot_be_switched_on(caller: Caller, wrong: dict[str, str]):
    async with caller.http.post(f"{caller.simulator.url}/_control/faults", json=wrong) as answer:
        assert answer.status == 400
    assert list(caller.simulator.faults) == []


@pytest.mark.parametrize("name", ["outage", "waf", "too_many"])
async def test_an_outage_is_of_everything_that_the_venue_has(caller: Caller, name: str):
    caller.simulator.faults.add(Fault(kind=name, venue="binance_usdm"))
    status = EXPECTED["binance_usdm"][name][0]
    assert (await caller.send("binance_usdm", "GET", "/fapi/v1/time")).status == status
    assert (await caller.read("binance_usdm", "/fapi/v1/symbolConfig", "symbol=BTCUSDT")).status == status


async def test_other_faults_leave_reads_and_clocks_alone(caller: Caller):
    caller.simulator.faults.add(Fault(kind="unknown_503", venue="binance_usdm"))
    assert (await caller.send("binance_usdm", "GET", "/fapi/v1/time")).status == 200
    assert (await caller.read("binance_usdm", "/fapi/v1/symbolConfig", "symbol=BTCUSDT")).status == 200


async def test_a_ban_on_demand_lasts_as_long_as_it_says(caller: Caller):
    caller.simulator.faults.add(Fault(kind="ban", venue="binance_usdm", calls=1, seconds=30.0))
    answers = [await caller.call("binance_usdm") for _ in range(2)]
    assert [(answer.status, answer.headers["Retry-After"]) for answer in answers] == [(418, "30"), (418, "30")]
    caller.clock.advance(30.0)
    assert (await caller.call("binance_usdm")).status == 200


CLOCKS = {
    "binance_margin": "/api/v3/time",
    "binance_usdm": "/fapi/v1/time",
    "ztdx": "/fapi/v1/time",
    "okx": "/api/v5/public/time",
}


@pytest.mark.parametrize("venue", CLOCKS)
@pytest.mark.parametrize("seconds", [40.0, -40.0])
async def test_a_skewed_clock_is_told_and_judged_by(caller: Caller, venue: str, seconds: float):
    await caller.control("POST", "faults", {"kind": "clock_skew", "venue": venue, "seconds": seconds})
    answer = (await caller.send(venue, "GET", CLOCKS[venue])).tree
    told = int(answer["data"][0]["ts"]) if venue == "okx" else answer["serverTime"]
    assert told == caller.now_ms + seconds * 1000
    assert (await caller.call(venue)).code in {-1021, 50102}
    assert caller.simulator.journal.entries[-1].verdict == "clock"
    caller.clock.advance(60.0)
    await caller.control("DELETE", "faults")
    assert (await caller.call(venue)).status == 200


async def test_portfolio_margins_date_is_skewed_too(caller: Caller):
    caller.simulator.faults.add(Fault(kind="clock_skew", venue="binance_portfolio", seconds=60.0))
    answer = await caller.send("binance_portfolio", "GET", "/papi/v1/ping")
    assert answer.headers["Date"] == "Sat, 21 Nov 2026 12:01:00 GMT"


async def test_a_dropped_call_is_finished_in_the_journal_without_a_status(caller: Caller):
    caller.simulator.faults.add(Fault(kind="reset_after", venue="binance_usdm"))
    assert await struck(caller, "binance_usdm") == "reset"
    entry = caller.simulator.journal.entries[-1]
    assert (entry.verdict, entry.status, entry.code) == ("fault", None, None)
    assert entry.applied_at is not None
    assert entry.finished_at is not None


async def test_a_call_in_a_black_hole_is_open_until_its_caller_is_gone(caller: Caller):
    caller.simulator.faults.add(Fault(kind="black_hole_before", venue="binance_usdm"))
    held = asyncio.create_task(caller.call("binance_usdm"))
    await until(lambda: caller.simulator.journal.entries)
    entry = caller.simulator.journal.entries[-1]
    assert entry.finished_at is None
    held.cancel()
    await asyncio.wait([held])
    await until(lambda: entry.finished_at is not None)
    assert caller.simulator.state() == {}


async def test_stopping_lets_go_of_calls_in_a_black_hole(caller: Caller):
    caller.simulator.faults.add(Fault(kind="black_hole_before", venue="binance_usdm"))
    held = asyncio.create_task(struck(caller, "binance_usdm"))
    await until(lambda: caller.simulator.journal.entries)
    await caller.simulator.stop()
    assert await held == "reset"
