"""Limits are counted per window and scope, told in headers, and answered with 429, then 418."""

from typing import Any

import pytest

from gateway.simulator import SimulatorSettings
from gateway.simulator.windows import Meter
from tests.kit.clocks import NOON
from tests.simulator.by_hand import DESK, Answer, Caller, accounts, okx_account

FIXED = SimulatorSettings(accounts=accounts(okx_account("other")))
SLIDING = SimulatorSettings(accounts=accounts(), windows="sliding")


@pytest.fixture
def settings() -> SimulatorSettings:
    return FIXED


async def capacity(caller: Caller, venue: str, limit: str, count: int) -> None:
    await caller.control("POST", "limits", {"venue": venue, "limit": limit, "capacity": count})


async def statuses(caller: Caller, venue: str, count: int) -> list[int]:
    return [(await caller.call(venue)).status for _ in range(count)]


async def reading(caller: Caller, venue: str, limit: str) -> Any:
    readings = (await caller.control("GET", "limits"))["readings"]
    return next(one for one in readings if (one["venue"], one["limit"]) == (venue, limit))


LIMITS = {"binance_usdm": "ip_weight", "binance_portfolio": "ip_weight", "ztdx": "ip_weight", "okx": "uid_set_leverage"}
PUBLISHED = {
    ("binance_margin", "uid_weight", 180_000, 60.0),
    ("binance_margin", "ip_calls", 1, 60.0),
    ("binance_usdm", "ip_weight", 2400, 60.0),
    ("binance_portfolio", "ip_weight", 6000, 60.0),
    ("okx", "uid_set_leverage", 20, 2.0),
    ("ztdx", "ip_weight", 2400, 60.0),
}


async def test_the_published_limits_are_the_default(caller: Caller):
    limits = (await caller.control("GET", "limits"))["limits"]
    told = {(venue, one["name"], one["capacity"], one["window"]) for venue, group in limits.items() for one in group}
    assert told >= PUBLISHED


@pytest.mark.parametrize("venue", LIMITS)
async def test_a_window_holds_its_capacity_and_the_next_one_is_new(caller: Caller, venue: str):
    await capacity(caller, venue, LIMITS[venue], 3)
    assert await statuses(caller, venue, 4) == [200, 200, 200, 429]
    caller.clock.advance(2.0 if venue == "okx" else 60.0)
    assert await statuses(caller, venue, 1) == [200]
    assert (await reading(caller, venue, LIMITS[venue]))["over"] == 1


async def test_cross_margin_takes_one_call_a_minute_from_an_address(caller: Caller):
    assert await statuses(caller, "binance_margin", 2) == [200, 429]
    caller.clock.advance(59.999)
    assert await statuses(caller, "binance_margin", 1) == [429]
    caller.clock.advance(0.001)
    assert await statuses(caller, "binance_margin", 1) == [200]


async def test_okx_counts_users_one_by_one(caller: Caller):
    await capacity(caller, "okx", "uid_set_leverage", 1)
    first = [(await caller.okx()).code for _ in range(2)]
    assert (first, (await caller.okx(key="other")).code) == ([0, 50011], 0)


async def test_a_429_tells_when_the_window_ends_and_the_journal_that_it_was_throttled(caller: Caller):
    await capacity(caller, "binance_usdm", "ip_weight", 1)
    caller.clock.advance(12.0)
    await caller.binance("binance_usdm")
    answer = await caller.binance("binance_usdm")
    assert (answer.status, answer.code, answer.headers["Retry-After"]) == (429, -1003, "48")
    assert caller.simulator.journal.entries[-1].verdict == "throttled"


HEADERS = {
    "binance_usdm": ("X-MBX-USED-WEIGHT-1M", ["1", "2"]),
    "binance_portfolio": ("X-MBX-USED-WEIGHT-1M", ["1", "2"]),
    "binance_margin": ("X-SAPI-USED-UID-WEIGHT-1M", ["3000", "6000"]),
}


@pytest.mark.parametrize("venue", HEADERS)
async def test_usage_is_told_of_the_wall_clock_minute(caller: Caller, venue: str):
    header, told = HEADERS[venue]
    if venue == "binance_margin":
        await capacity(caller, venue, "ip_calls", 10)
    assert [(await caller.binance(venue)).headers[header] for _ in range(2)] == told
    caller.clock.advance(60.0)
    assert (await caller.binance(venue)).headers[header] == told[0]


async def test_a_read_costs_more_than_a_call(caller: Caller):
    answer = await caller.read("binance_usdm", "/fapi/v1/symbolConfig", "symbol=BTCUSDT")
    assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "5"


async def test_refused_calls_cost_as_much_as_good_ones(caller: Caller):
    await caller.binance("binance_usdm", "symbol=NOUSDT&leverage=5")
    assert (await caller.binance("binance_usdm")).headers["X-MBX-USED-WEIGHT-1M"] == "2"


async def test_two_calls_around_the_minute_pass_fixed_windows(caller: Caller):
    await capacity(caller, "binance_usdm", "ip_weight", 1)
    caller.clock.advance(59.0)
    assert await statuses(caller, "binance_usdm", 1) == [200]
    caller.clock.advance(1.0)
    assert await statuses(caller, "binance_usdm", 1) == [200]


@pytest.mark.parametrize("settings", [SLIDING], ids=["sliding"])
async def test_two_calls_around_the_minute_do_not_pass_sliding_windows(caller: Caller):
    await capacity(caller, "binance_usdm", "ip_weight", 1)
    caller.clock.advance(59.0)
    assert await statuses(caller, "binance_usdm", 1) == [200]
    caller.clock.advance(1.0)
    refused = await caller.binance("binance_usdm")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "59")
    caller.clock.advance(59.0)
    assert await statuses(caller, "binance_usdm", 1) == [200]


async def test_windows_are_switched_while_it_runs(caller: Caller):
    await caller.control("POST", "limits", {"windows": "sliding"})
    assert (await caller.control("GET", "limits"))["windows"] == "sliding"


async def ignore_429s(caller: Caller, count: int) -> list[Answer]:
    return [await caller.binance("binance_usdm") for _ in range(count)]


async def test_ignored_429s_are_a_ban_that_grows(caller: Caller):
    await capacity(caller, "binance_usdm", "ip_weight", 1)
    answers = await ignore_429s(caller, 7)
    assert [answer.status for answer in answers] == [200, 429, 429, 429, 429, 429, 418]
    assert answers[-1].headers["Retry-After"] == "120"
    assert f"banned until {round((NOON + 120) * 1000)}" in answers[-1].tree["msg"]
    caller.clock.advance(120.0)
    assert [answer.status for answer in await ignore_429s(caller, 7)][-1] == 418
    assert caller.simulator.journal.entries[-1].verdict == "banned"
    caller.clock.advance(120.0)
    assert [answer.status for answer in await ignore_429s(caller, 1)] == [418]
    caller.clock.advance(120.0)
    assert [answer.status for answer in await ignore_429s(caller, 1)] == [200]


async def test_a_ban_is_of_one_venue_and_covers_all_its_endpoints(caller: Caller):
    await caller.control("POST", "limits", {"venue": "binance_usdm", "ban_seconds": 60})
    assert (await caller.send("binance_usdm", "GET", "/fapi/v1/time")).status == 418
    assert (await caller.call("binance_portfolio")).status == 200
    assert (await caller.call("binance_usdm")).status == 418
    assert caller.simulator.journal.entries[-1].verdict == "fault", "nobody has earned it"
    await caller.control("POST", "limits", {"venue": "binance_usdm", "ban_seconds": 0})
    assert (await caller.send("binance_usdm", "GET", "/fapi/v1/time")).status == 200


async def test_okx_never_bans(caller: Caller):
    await capacity(caller, "okx", "uid_set_leverage", 1)
    answers = [await caller.okx() for _ in range(20)]
    assert {(answer.status, answer.code) for answer in answers} == {(200, 0), (429, 50011)}


async def test_a_second_spender_is_seen_in_the_header_and_takes_its_share(caller: Caller):
    spender = {"venue": "binance_usdm", "limit": "ip_weight", "capacity": 13, "others_per_second": 2}
    await caller.control("POST", "limits", spender)
    caller.clock.advance(5.0)
    answer = await caller.binance("binance_usdm")
    assert answer.headers["X-MBX-USED-WEIGHT-1M"] == "12"
    assert await statuses(caller, "binance_usdm", 2) == [200, 429]


async def test_a_limit_that_is_not_there_cannot_be_changed(caller: Caller):
    async with caller.http.post(
        f"{caller.simulator.url}/_control/limits", json={"venue": "okx", "limit": "no", "capacity": 1}
    ) as answer:
        assert answer.status == 400


@pytest.mark.parametrize(
    "settings", [SimulatorSettings(accounts=accounts(), capacities={"binance_usdm:ip_weight": 1})], ids=["one"]
)
async def test_capacities_are_chosen_at_start(caller: Caller):
    assert await statuses(caller, "binance_usdm", 2) == [200, 429]


def test_a_sliding_meter_tells_when_a_heavy_call_will_fit():
    meter = Meter()
    for at, weight in ((0.0, 1), (10.0, 2), (20.0, 3)):
        assert meter.charge(weight, at, 60.0, 6, "sliding") == 0.0
    assert meter.charge(3, 30.0, 60.0, 6, "sliding") == 40.0
    assert meter.charge(1, 30.0, 60.0, 6, "sliding") == 30.0
    assert (meter.calls, meter.over) == (5, 2)


@pytest.mark.parametrize("windows", ["fixed", "sliding"])
def test_no_window_of_a_meter_holds_more_than_its_capacity(windows: Any):
    meter = Meter()
    # Eighths are exact in binary, so that the window's edges are too.
    taken = [step / 8 for step in range(2000) if meter.charge(1, step / 8, 2.0, 5, windows) == 0.0]
    if windows == "fixed":
        assert max(sum(at // 2 == begin for at in taken) for begin in range(150)) == 5
    else:
        assert max(sum(begin <= at < begin + 2.0 for at in taken) for begin in taken) == 5


def test_a_spender_that_was_idle_for_long_costs_no_time_to_count():
    meter = Meter()
    meter.spend(8.0, 0.0)
    assert meter.used(1_000_000.5, 2.0) == 5  # half a second of it is in this window, its first instant too


async def test_accounts_meters_are_named_by_account(caller: Caller):
    await caller.okx()
    assert (await reading(caller, "okx", "uid_set_leverage"))["key"] == DESK
