"""What the journal says of a call, as the chaos checker reads it; and what a simulator will not start with."""

from decimal import Decimal

import pytest

from gateway.clock import SystemClock
from gateway.simulator import SimulatedAccount, Simulator, SimulatorSettings, demo_accounts
from tests.chaos.collect import read_journal
from tests.simulator.by_hand import DESK, Caller

VERDICTS: dict[str, dict[str, str]] = {
    "applied": {},
    "refused": {"query": "symbol=BTCUSDT&leverage=126"},
    "bad_request": {"query": "symbol=BTCUSDT"},
    "unauthorised": {"secret": "another"},
}


@pytest.mark.parametrize("verdict", VERDICTS)
async def test_the_journal_says_in_one_word_what_became_of_a_call(caller: Caller, verdict: str):
    answer = await caller.binance("binance_usdm", **VERDICTS[verdict])
    entry = caller.simulator.journal.entries[-1]
    assert (entry.verdict, entry.status) == (verdict, answer.status)
    assert (entry.applied_at is not None) == (verdict == "applied")


async def test_what_cannot_be_told_is_empty_and_decodes_all_the_same(caller: Caller):
    await caller.binance("binance_usdm", "leverage=abc", key="u" * 32)
    await caller.okx(b"{")
    calls = await read_journal(caller.http, caller.simulator.url)
    assert [(call.account, call.lane, call.value) for call in calls] == [("", "", Decimal(0)), (DESK, "", Decimal(0))]


async def test_the_page_escapes_what_callers_sent(caller: Caller):
    await caller.binance("binance_usdm", "symbol=%3Cscript%3E&leverage=5")
    async with caller.http.get(f"{caller.simulator.url}/_control/") as answer:
        text = await answer.text()
    assert answer.content_type == "text/html"
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_the_demo_has_an_account_at_every_venue_and_no_key_twice():
    known = demo_accounts()
    assert {account.venue for account in known if account.name == DESK} == {account.venue for account in known}
    assert len({(account.venue, account.api_key) for account in known}) == len(known)


@pytest.mark.parametrize("public_key", [None, "no PEM"])
def test_an_account_without_a_key_stops_the_start(public_key: str | None):
    keyless = SimulatedAccount(name="x", venue="binance_usdm", api_key="k", public_key=public_key)
    with pytest.raises(ValueError):  # noqa: PT011 - of two libraries
        Simulator(SimulatorSettings(accounts=(keyless,)), SystemClock())
