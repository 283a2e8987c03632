"""What each command is answered: encodings, repeats, order within a lane, deadlines, rules."""

from collections import Counter
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from gateway.app import Gateway
from gateway.settings.tree import LimitSettings
from gateway.simulator import Fault
from schemas import (
    JSON,
    MSGPACK,
    BinanceMargin,
    BinancePortfolio,
    BinanceUsdm,
    LeverageChanged,
    LeverageRejected,
    Okx,
    Target,
    Timestamp,
    Ztdx,
)
from schemas.headers import CONTENT_TYPE
from tests.app.processes import until
from tests.app.rig import Rig, event_of

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("gateway")]
MAX_QUEUE = 4


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(rig: Rig) -> AsyncGenerator[Gateway]:
    """In order at ZTDX, one call a minute at Binance margin, little patience with portfolio margin."""
    once = LimitSettings(capacity=1, window=60.0, assume_spent_at_start=False)
    free = rig.settings().venues.binance_margin.limits
    settings = rig.settings(
        pipeline={"max_lane_queue": MAX_QUEUE},
        venues={
            "ztdx": {"latest_wins": False, "deadline": 10.0},
            "binance_margin": {"limits": free | {"ip_calls": once}},
            "binance_portfolio": {"deadline": 0.8},
        },
    )
    async with rig.gateway(settings) as gateway:
        yield gateway


def usdm(number: int) -> BinanceUsdm:
    return BinanceUsdm(symbol=f"SIM{number}USDT")


def slow(rig: Rig, target: Target, seconds: float = 0.4) -> None:
    venue: Any = target.__struct_config__.tag
    rig.simulator.faults.add(Fault(kind="latency", venue=venue, lane=target.lane, calls=1, seconds=seconds))


async def being_called(rig: Rig, target: Target) -> None:
    await until(lambda: rig.calls(target.lane), "the venue has the call")


def rejection(event: object, reason: str) -> LeverageRejected:
    assert isinstance(event, LeverageRejected), event
    assert event.reason == reason
    return event


@pytest.mark.parametrize("encoding", [JSON, MSGPACK])
async def test_the_answer_comes_in_the_encoding_of_its_command(rig: Rig, encoding: Any):
    changed = rig.command(usdm(1), 5)
    refused = rig.command(usdm(1), 0)
    places = await rig.send(changed, refused, encoding=encoding)
    await rig.answers(changed, refused)
    await until(lambda: rig.records_of("state", places[0]), "the state record")
    told = [*rig.records_of("events", places[0]), *rig.records_of("events", places[1])]
    assert [dict(record.headers)[CONTENT_TYPE] for record in told] == [encoding.encode()] * 2
    assert [event_of(record).command_id for record in told] == [changed.command_id, refused.command_id]
    [state] = rig.records_of("state", places[0])
    assert dict(state.headers)[CONTENT_TYPE] == encoding.encode()
    assert (told[0].value or b"").startswith(b"{") is (encoding == JSON)


async def test_a_repeat_of_an_answered_command_gets_no_second_call_and_no_second_event(rig: Rig, gateway: Gateway):
    command = rig.command(usdm(2), 5)
    await rig.ask(command)
    before = repeats(gateway)
    await rig.send(command, command)
    await rig.settled()
    assert len(rig.events(command)) == 1
    assert len(rig.calls("SIM2USDT")) == 1
    assert repeats(gateway) == before + 2


async def test_a_repeat_of_a_command_in_flight_gets_no_second_call_and_no_second_event(rig: Rig):
    command = rig.command(usdm(3), 5)
    slow(rig, command.target)
    await rig.send(command)
    await being_called(rig, command.target)
    await rig.send(command, command)
    await rig.settled()
    [event] = await rig.answers(command)
    assert isinstance(event, LeverageChanged)
    assert len(rig.events(command)) == 1
    assert len(rig.calls("SIM3USDT")) == 1


async def test_an_id_means_its_own_accounts_command_only(rig: Rig):
    mine = rig.command(usdm(4), 5, command_id="shared")
    theirs = rig.command(usdm(4), 5, command_id="shared", account="desk-ed25519")
    await rig.send(mine, theirs)
    await until(lambda: len(rig.events(mine)) == 2, "two events")
    assert {event.account for event in rig.events(mine)} == {"desk-1", "desk-ed25519"}


async def test_the_latest_wins_and_every_older_one_gets_a_receipt(rig: Rig):
    first, *older, last = [rig.command(usdm(5), leverage) for leverage in (5, 6, 7, 8, 9)]
    slow(rig, first.target)
    await rig.send(first)
    await being_called(rig, first.target)
    await rig.send(*older, last)
    done, *superseded, newest = await rig.answers(first, *older, last)
    assert isinstance(done, LeverageChanged)
    assert isinstance(newest, LeverageChanged)
    ids = [first.command_id, *(command.command_id for command in older), last.command_id]
    for event in superseded:
        receipt = rejection(event, "superseded")
        assert receipt.superseded_by in ids[ids.index(receipt.command_id) + 1 :]
        assert (receipt.attempts, receipt.dead_lettered) == (0, False)
    assert [call.value for call in rig.calls("SIM5USDT")] == ["5", "9"]
    assert rig.simulator.state()["binance_usdm:desk-1:SIM5USDT"] == "9"


async def test_where_latest_does_not_win_every_command_is_called_in_order(rig: Rig):
    commands = [rig.command(Ztdx(symbol="SIM6USDT"), leverage) for leverage in (5, 6, 7, 8)]
    slow(rig, commands[0].target)
    events = await rig.ask(*commands)
    assert [type(event) for event in events] == [LeverageChanged] * 4
    assert [call.value for call in rig.calls("SIM6USDT")] == ["5", "6", "7", "8"]
    calls = rig.calls("SIM6USDT")
    assert all(one.finished_at <= next_.received_at for one, next_ in pairwise(calls))  # pyright: ignore[reportOptionalOperand]


async def test_a_lane_that_is_full_refuses_more_and_says_so(rig: Rig):
    first, *rest = [rig.command(Ztdx(symbol="SIM7USDT"), leverage) for leverage in range(5, 5 + MAX_QUEUE + 3)]
    slow(rig, first.target)
    await rig.send(first)
    await being_called(rig, first.target)
    events = await rig.ask(*rest)
    assert [type(event) for event in events[:MAX_QUEUE]] == [LeverageChanged] * MAX_QUEUE
    for event in events[MAX_QUEUE:]:
        assert "wait in lane SIM7USDT" in rejection(event, "rate_limited").message
    assert len(rig.calls("SIM7USDT")) == MAX_QUEUE + 1


async def test_a_command_that_comes_too_late_is_expired_without_a_call(rig: Rig):
    command = rig.command(usdm(8), 5, expires_at=in_seconds(-5))
    [event] = await rig.ask(command)
    assert rejection(event, "expired").attempts == 0
    assert rig.calls("SIM8USDT") == []


async def test_a_command_that_expires_while_it_waits_is_never_sent(rig: Rig):
    first, second = rig.command(usdm(9), 5), rig.command(usdm(9), 6, expires_at=in_seconds(0.3))
    slow(rig, first.target, 0.6)
    await rig.send(first)
    await being_called(rig, first.target)
    [event] = await rig.ask(second)
    assert rejection(event, "expired").attempts == 0
    assert [call.value for call in rig.calls("SIM9USDT")] == ["5"]


async def test_without_budget_before_the_deadline_it_is_refused_at_once_with_a_time_to_come_back(rig: Rig):
    [event] = await rig.ask(rig.command(BinanceMargin(), 5))
    assert isinstance(event, LeverageChanged)
    expires_at = in_seconds(20)
    [event] = await rig.ask(rig.command(BinanceMargin(), 3, expires_at=expires_at), patience=5)
    told = rejection(event, "rate_limited")
    assert told.dead_lettered
    assert told.retry_at is not None
    assert told.retry_at > expires_at
    assert [call.value for call in rig.calls("cross-margin")] == ["5"]


async def test_a_venue_that_applies_nothing_until_the_deadline_is_unavailable(rig: Rig):
    rig.simulator.faults.add(Fault(kind="service_unavailable_503", venue="binance_portfolio"))
    [event] = await rig.ask(rig.command(BinancePortfolio(symbol="SIM10USDT"), 5))
    told = rejection(event, "venue_unavailable")
    assert (told.http_status, told.dead_lettered) == (503, True)


async def test_a_venue_that_answers_with_web_pages_until_the_deadline_leaves_the_outcome_unknown(rig: Rig):
    rig.simulator.faults.add(Fault(kind="outage", venue="binance_portfolio"))
    command = rig.command(BinancePortfolio(symbol="SIM12USDT"), 5, account="desk-ed25519")  # no open breaker yet
    [event] = await rig.ask(command)
    assert rejection(event, "outcome_unknown").dead_lettered


BROKEN: tuple[tuple[Target, str, str], ...] = (
    (BinanceMargin(), "7", "3, 5, 10"),
    (BinanceMargin(), "5.5", "integer"),
    (BinanceUsdm(symbol="SIM11USDT"), "2.5", "integer"),
    (BinancePortfolio(symbol="SIM11USDT"), "0", "above 0"),
    (Ztdx(symbol="SIM11USDT"), "1.5", "integer"),
    (Okx(margin_mode="isolated", currency="BTC"), "5", "currency"),
    (Okx(margin_mode="cross"), "5", "instrument"),
    (Okx(margin_mode="cross", instrument="BTC-USDT-SWAP", position_side="long"), "5", "position_side"),
    (Okx(margin_mode="cross", instrument="BTC-USDT-SWAP"), "1.234", "decimals"),
)


async def test_what_a_venues_rules_forbid_is_invalid_and_costs_no_call(rig: Rig):
    before = len(rig.calls())
    commands = [rig.command(target, leverage) for target, leverage, _ in BROKEN]
    for event, (_, _, rule) in zip(await rig.ask(*commands), BROKEN, strict=True):
        told = rejection(event, "invalid")
        assert rule in told.message
        assert (told.attempts, told.dead_lettered) == (0, False)
    assert len(rig.calls()) == before


async def test_what_the_venue_refuses_is_told_in_its_own_words(rig: Rig):
    [event] = await rig.ask(rig.command(BinanceUsdm(symbol="测试USDT"), 51))
    told = rejection(event, "venue_rejected")
    assert (told.venue_code, told.http_status, told.attempts) == ("-4028", 400, 1)


async def test_thousands_of_lanes_side_by_side_are_each_answered_once(rig: Rig):
    """The wait of one lane is nobody else's: all are answered although one is slow."""
    slow(rig, usdm(100), 0.9)
    commands = [rig.command(usdm(100 + number), 5) for number in range(400)]
    await rig.send(*commands)
    await rig.answers(*commands[1:])
    events = await rig.answers(*commands)
    assert {type(event) for event in events} == {LeverageChanged}
    assert len(rig.events(*commands)) == len(commands)


def in_seconds(seconds: float) -> Timestamp:
    return Timestamp.of(datetime.now(UTC) + timedelta(seconds=seconds))


def repeats(gateway: Gateway) -> float:
    return gateway.metrics.registry.get_sample_value("gateway_repeats_total", {"venue": "binance_usdm"}) or 0.0


async def test_nothing_is_left_over_and_no_command_has_two_answers(rig: Rig, gateway: Gateway):
    await rig.settled()
    assert not any(gateway.group.incomplete.values())
    answered = Counter((event.account, event.command_id) for event in rig.events())
    assert [command for command, count in answered.items() if count > 1] == []
