"""The control pages and the journal: what tests, the demo and the chaos checker read and switch."""

import aiohttp
import pytest

from gateway.simulator import Fault, Simulator, SimulatorSettings
from gateway.simulator.exchange import Asked
from gateway.simulator.journal import Journal
from tests.kit.clocks import NOON, FakeClock
from tests.simulator.by_hand import DESK, GOOD, KEY, PASSPHRASE, SECRET, Caller, accounts

USDM_LANE = f"binance_usdm:{DESK}:BTCUSDT"


async def test_the_journal_tells_each_call_as_the_seam_has_it(caller: Caller):
    await caller.call("binance_usdm")
    page = await caller.control("GET", "journal?since=0")
    assert page["entries"] == [
        {
            "seq": 1,
            "venue": "binance_usdm",
            "account": DESK,
            "lane": "BTCUSDT",
            "value": "21",
            "received_at": NOON,
            "applied_at": NOON,
            "finished_at": NOON,
            "status": 200,
            "code": None,
            "verdict": "applied",
        }
    ]


async def test_the_journal_is_read_on_from_where_the_last_page_ended(caller: Caller):
    await caller.call("binance_usdm")
    first = await caller.control("GET", "journal?since=0")
    await caller.call("ztdx")
    second = await caller.control("GET", f"journal?since={first['next']}")
    assert [entry["venue"] for entry in second["entries"]] == ["ztdx"]
    assert (await caller.control("GET", f"journal?since={second['next']}")) == {"entries": [], "next": second["next"]}


async def test_refused_calls_are_in_the_journal_and_change_nothing(caller: Caller):
    await caller.binance("binance_usdm", "symbol=BTCUSDT&leverage=126")
    (entry,) = caller.simulator.journal.entries
    assert (entry.value, entry.applied_at, entry.status, entry.code, entry.verdict) == (
        "126",
        None,
        400,
        "-4028",
        "refused",
    )
    assert await caller.control("GET", "state") == {}


async def test_only_leverage_calls_are_in_the_journal(caller: Caller):
    await caller.send("binance_usdm", "GET", "/fapi/v1/time")
    await caller.read("binance_usdm", "/fapi/v1/symbolConfig", "symbol=BTCUSDT")
    assert not caller.simulator.journal.entries


async def test_the_last_value_of_a_lane_is_its_state(caller: Caller):
    for leverage in (5, 7, 6):
        await caller.binance("binance_usdm", f"symbol=BTCUSDT&leverage={leverage}")
    assert await caller.control("GET", "state") == {USDM_LANE: "6"} == caller.simulator.state()


def test_the_journal_keeps_no_more_than_it_may_and_goes_on_counting():
    journal = Journal(10)
    for _ in range(100):
        journal.open("okx", Asked(account="a", lane="l", value="1"), 0.0)
    assert len(journal.entries) <= 10
    assert journal.count == journal.entries[-1].seq == 100
    entries, following = journal.page(0, 1000)
    assert (entries[-1].seq, following) == (100, 101)


def test_pages_of_the_journal_join_without_a_gap():
    journal = Journal(100)
    for _ in range(25):
        journal.open("okx", Asked(), 0.0)
    seen: list[int] = []
    since = 0
    while True:
        entries, since = journal.page(since, 10)
        if not entries:
            break
        seen += [entry.seq for entry in entries]
    assert seen == list(range(1, 26))


async def test_faults_are_listed_switched_on_and_off(caller: Caller):
    listed = await caller.control("GET", "faults")
    assert {kind["name"] for kind in listed["kinds"]} >= {"outage", "reset_after", "clock_skew"}
    added = await caller.control("POST", "faults", {"kind": "outage", "venue": "okx"})
    assert (await caller.call("okx")).status == 503
    assert [fault["id"] for fault in (await caller.control("GET", "faults"))["active"]] == [added["id"]]
    assert await caller.control("DELETE", f"faults/{added['id']}") == {"removed": True}
    assert (await caller.call("okx")).status == 200
    await caller.control("POST", "faults", {"kind": "outage", "venue": "okx"})
    await caller.control("DELETE", "faults")
    assert (await caller.call("okx")).status == 200


async def test_a_form_switches_a_fault_on_as_json_does(caller: Caller):
    form = {"kind": "outage", "venue": "ztdx", "account": "", "calls": "1"}
    async with caller.http.post(f"{caller.simulator.url}/_control/faults", data=form) as answer:
        assert answer.status == 200
    (fault,) = caller.simulator.faults
    assert (fault.venue, fault.account, fault.calls) == ("ztdx", None, 1)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, {}),
        (200, {"Host": "localhost:1"}),
        (200, {"Origin": "http://localhost:1", "Host": "localhost:1"}),
        (403, {"Origin": "http://localhost:2", "Host": "localhost:1"}),
        (403, {"Origin": "null"}),
        (403, {"Host": "rebound.example"}),
        (403, {"Content-Type": "text/plain"}),
    ],
)
async def test_pages_of_others_in_a_browser_of_this_machine_switch_nothing(caller: Caller, status, headers):
    url = f"{caller.simulator.url}/_control/faults"
    headers = {"Content-Type": "application/json"} | headers
    fault = b'{"kind": "outage", "venue": "ztdx"}'
    async with caller.http.post(url, data=fault, headers=headers) as answer:
        assert answer.status == status
    assert len(list(caller.simulator.faults)) == (status == 200)


async def test_the_control_pages_answer_to_the_name_that_the_simulator_is_called_by():
    simulator = Simulator(SimulatorSettings(), FakeClock())
    await simulator.start(public_url="http://venues:8090")
    try:
        assert simulator.url == "http://venues:8090"
        url = f"http://127.0.0.1:{simulator.port}/_control/state"
        async with aiohttp.ClientSession() as http:
            for host, status in (("venues:8090", 200), ("other:8090", 403)):
                async with http.get(url, headers={"Host": host}) as answer:
                    assert answer.status == status
    finally:
        await simulator.stop()


@pytest.mark.parametrize(
    ("method", "room", "tree"),
    [
        ("POST", "faults", {"kind": "nonsense", "venue": "okx"}),
        ("POST", "faults", {"kind": "unknown_503", "venue": "okx"}),
        ("POST", "faults", {"kind": "outage", "venue": "nowhere"}),
        ("POST", "faults", {"kind": "outage", "venue": "okx", "calls": 0}),
        ("POST", "faults", {"kind": "outage", "venue": "okx", "odds": 2}),
        ("POST", "faults", {"kind": "outage", "venue": "okx", "secondss": 2}),
        ("POST", "faults", ["outage"]),
        ("DELETE", "faults/first", None),
        ("POST", "limits", {"venue": "okx", "limit": "nonsense", "capacity": 1}),
        ("POST", "limits", {"windows": "bay"}),
        ("GET", "journal?since=now", None),
        ("GET", "nonsense", None),
    ],
)
async def test_what_makes_no_sense_is_answered_400(caller: Caller, method: str, room: str, tree: object):
    url = f"{caller.simulator.url}/_control/{room}"
    async with caller.http.request(method, url, json=tree) as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]


async def test_a_limit_gets_another_capacity_while_it_runs(caller: Caller):
    limit = {"venue": "binance_usdm", "limit": "ip_weight", "capacity": 1}
    await caller.control("POST", "limits", limit)
    assert [(await caller.call("binance_usdm")).status for _ in range(2)] == [200, 429]
    (reading,) = (await caller.control("GET", "limits"))["readings"]
    assert (reading["venue"], reading["capacity"], reading["calls"], reading["over"]) == ("binance_usdm", 1, 2, 1)


async def test_capacities_may_be_given_at_start(clock: FakeClock):
    simulator = Simulator(SimulatorSettings(accounts=accounts(), capacities={"binance_usdm:ip_weight": 1}), clock)
    await simulator.start()
    try:
        async with aiohttp.ClientSession() as http:
            caller = Caller(simulator, http, clock)
            assert [(await caller.call("binance_usdm")).status for _ in range(2)] == [200, 429]
    finally:
        await simulator.stop()


@pytest.mark.parametrize("place", ["binance_usdm:nonsense", "nowhere:ip_weight"])
def test_a_capacity_of_no_limit_is_refused_at_start(clock: FakeClock, place: str):
    with pytest.raises(KeyError):
        Simulator(SimulatorSettings(accounts=accounts(), capacities={place: 1}), clock)


async def test_the_page_for_people_tells_faults_limits_and_calls(caller: Caller):
    caller.simulator.faults.add(Fault(kind="outage", venue="okx", lane="<script>"))
    await caller.call("binance_usdm")
    async with caller.http.get(f"{caller.simulator.url}/_control/") as answer:
        page = await answer.text()
    assert answer.content_type == "text/html"
    for text in ("outage", "ip_weight", USDM_LANE, "&lt;script&gt;"):
        assert text in page
    assert "<script>" not in page


@pytest.mark.parametrize("room", ["", "journal", "state", "faults", "limits", "accounts"])
async def test_no_control_page_tells_a_key(caller: Caller, room: str):
    for venue in (*GOOD, "okx"):
        await caller.call(venue)
    async with caller.http.get(f"{caller.simulator.url}/_control/{room}") as answer:
        page = await answer.text()
    assert not [secret for secret in (KEY, SECRET, PASSPHRASE) if secret in page]


async def test_an_unknown_path_is_not_found(caller: Caller):
    for venue, target in (("binance_usdm", "/fapi/v1/order"), ("nowhere", "/"), ("okx", "/fapi/v1/leverage")):
        assert (await caller.send(venue, "POST", target)).status == 404
