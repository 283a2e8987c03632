"""What a fault does to those beside it and after it: scopes that pause, keys that change, breakers, deadlines."""

import asyncio

import pytest

from gateway.settings.tree import PipelineSettings, VenueSettings
from gateway.simulator.config import account_table
from schemas import Event, LeverageRejected, VenueName
from tests.faults.desk import Desk, account, open_desk, target
from tests.kit.jumping import clock, jumping_over_sockets

READABLE: tuple[VenueName, ...] = ("binance_usdm", "binance_portfolio", "okx", "ztdx")
BINANCE_LIKE: tuple[VenueName, ...] = ("binance_usdm", "binance_portfolio", "ztdx")


def word(event: Event) -> str:
    return event.reason if isinstance(event, LeverageRejected) else "changed"


def at(event: Event) -> float:
    return event.occurred_at.timestamp()


async def lanes(desk: Desk, venue: VenueName, count: int, *, account: str = "desk", start: int = 0) -> list[Event]:
    """One command for each of so many lanes, at once."""
    numbers = range(start, start + count)
    return await asyncio.gather(*desk.feed(*(desk.command(target(venue, n), 7, account=account) for n in numbers)))


# Limits and bans.


@jumping_over_sockets
async def test_too_many_at_okx_pauses_that_account_for_its_window_and_no_other():
    async with open_desk(clock(), [("desk", "okx"), ("other", "okx")]) as desk:
        desk.fault("too_many", "okx", account="desk", calls=1)
        begun = clock().wall()
        mine, others = await asyncio.gather(desk.ask("okx"), desk.ask("okx", account="other"))
        assert (word(mine), word(others)) == ("changed", "changed")
        assert at(others) - begun < 0.1
        assert 2.0 <= at(mine) - begun < 2.2


@pytest.mark.parametrize("venue", BINANCE_LIKE)
@jumping_over_sockets
async def test_too_many_at_binance_pauses_the_address_and_nothing_walks_into_a_ban(venue: VenueName):
    async with open_desk(clock(), [("desk", venue), ("other", venue)]) as desk:
        desk.fault("too_many", venue, calls=1, seconds=7)
        begun = clock().wall()
        first = desk.feed(desk.command(venue))
        await asyncio.sleep(0.1)
        rest = [*await lanes(desk, venue, 50), *await lanes(desk, venue, 50, account="other")]
        assert {word(event) for event in (await first[0], *rest)} == {"changed"}
        assert [call.status for call in desk.calls(venue)] == [429, *[200] * 101]
        assert desk.calls(venue)[1].received_at - begun >= 7.0


@jumping_over_sockets
async def test_a_call_that_has_its_permit_but_no_slot_yet_heeds_a_limit_that_is_met_meanwhile():
    one_at_once = PipelineSettings(max_in_flight=2)  # half of them for one account
    async with open_desk(clock(), [("desk", "okx")], pipeline=one_at_once) as desk:
        desk.fault("too_many", "okx", calls=1)
        assert {word(event) for event in await lanes(desk, "okx", 2)} == {"changed"}
        first, *rest = desk.calls("okx")
        assert (first.status, len(rest)) == (429, 2)
        assert all(call.received_at - first.received_at >= 2.0 for call in rest)


@pytest.mark.parametrize("venue", ["binance_margin", *BINANCE_LIKE])
@jumping_over_sockets
async def test_a_ban_is_waited_out_where_the_deadline_allows_and_else_told_with_its_end(venue: VenueName):
    async with open_desk(clock(), [("desk", venue), ("other", venue)]) as desk:
        desk.fault("ban", venue, calls=1, seconds=90)
        patient = desk.feed(desk.command(venue, 5, expires_in=400.0))[0]
        await asyncio.sleep(0.1)
        ban_end = desk.calls(venue)[0].received_at + 90.0
        hurried = await desk.ask(venue, 3, account="other", expires_in=30.0)
        assert isinstance(hurried, LeverageRejected)
        assert hurried.reason == "rate_limited"
        assert hurried.retry_at is not None
        assert ban_end - 1.0 <= hurried.retry_at.timestamp() <= ban_end + 61.0  # cross margin: the minute after it
        assert at(hurried) < ban_end - 80  # at once, not at its deadline
        assert word(await patient) == "changed"
        assert [call.status for call in desk.calls(venue)] == [418, 200]
        assert desk.calls(venue)[1].received_at >= ban_end


@jumping_over_sockets
async def test_a_ban_that_somebody_else_on_the_address_earned_is_met_once():
    async with open_desk(clock(), [("desk", "binance_usdm")]) as desk:
        desk.simulator.gate.ban("binance_usdm", "127.0.0.1", clock().wall() + 45.0)
        events = await lanes(desk, "binance_usdm", 20)
        assert {word(event) for event in events} == {"changed"}
        # A lone call finds out; those that were under way with it could not know.
        assert [call.status for call in desk.calls("binance_usdm")].count(418) <= 20
        ends = [call.received_at for call in desk.calls("binance_usdm") if call.status == 418]
        assert max(ends) - min(ends) < 1.0


@pytest.mark.parametrize("reason", ["okx_50011", "too_many"])
@jumping_over_sockets
async def test_okx_telling_a_limit_in_either_way_is_waited_for_and_told_with_the_time_to_come_back(reason: str):
    async with open_desk(clock(), [("desk", "okx")]) as desk:
        desk.fault(reason, "okx")
        event = await desk.ask("okx")
        assert isinstance(event, LeverageRejected)
        assert (event.reason, event.venue_code) == ("rate_limited", "50011")
        assert event.retry_at is not None
        assert event.retry_at > event.occurred_at


# Keys.


@pytest.mark.parametrize("venue", READABLE)
@jumping_over_sockets
async def test_a_refused_key_is_used_no_more_until_its_file_changes(venue: VenueName):
    async with open_desk(clock(), [("desk", venue), ("other", venue)]) as desk:
        desk.fault("key_revoked", venue, account="desk", calls=1)
        refused = await desk.ask(venue)
        again = await asyncio.gather(*desk.feed(*(desk.command(target(venue, n)) for n in range(10))))
        assert {word(event) for event in (refused, *again)} <= {"unauthorised", "superseded"}
        assert isinstance(refused, LeverageRejected)
        assert refused.venue_code in {"-2015", "50111"}
        assert len(desk.calls(venue)) == 1
        assert word(await desk.ask(venue, account="other")) == "changed"

        account_table(desk.folder, account("desk", venue))  # the same keys, allowed again
        assert desk.gateway.accounts.reload() == [(venue, "desk")]
        assert word(await desk.ask(venue, 10)) == "changed"
        assert desk.final(venue) == "10"


@jumping_over_sockets
async def test_refused_keys_are_tried_again_after_growing_pauses_and_start_by_themselves():
    async with open_desk(clock(), [("desk", "okx")]) as desk:
        fault = desk.fault("key_revoked", "okx")
        begun = clock().wall()
        for _ in range(120):
            assert word(await desk.ask("okx")) == "unauthorised"
            await asyncio.sleep(1.0)
        assert [round(call.received_at - begun) for call in desk.calls("okx")] == [0, 5, 15, 35, 75]
        assert desk.gateway.accounts.stopped.keys() == {("okx", "desk")}
        desk.simulator.faults.remove(fault.id)
        await asyncio.sleep(80.0)
        assert word(await desk.ask("okx")) == "changed"
        assert desk.gateway.accounts.stopped == {}


@jumping_over_sockets
async def test_a_key_that_is_refused_once_works_again_after_the_first_pause():
    async with open_desk(clock(), [("desk", "okx")]) as desk:
        desk.fault("key_revoked", "okx", calls=1)
        refused = await desk.ask("okx")
        assert isinstance(refused, LeverageRejected)
        assert refused.reason == "unauthorised"
        await asyncio.sleep(5.0)
        assert word(await desk.ask("okx")) == "changed"


# Clocks.


@pytest.mark.parametrize("seconds", [-40.0, 40.0])  # outside of every window, inside of a deadline
@pytest.mark.parametrize("venue", READABLE)
@jumping_over_sockets
async def test_a_clock_that_jumps_is_measured_again_and_costs_one_refused_call_at_once(
    venue: VenueName, seconds: float
):
    async with open_desk(clock(), [("desk", venue)]) as desk:
        desk.fault("clock_skew", venue, seconds=seconds)
        begun = clock().wall()
        event = await desk.ask(venue)
        assert (word(event), event.attempts) == ("changed", 2)
        assert at(event) - begun < 0.1
        assert {word(event) for event in await lanes(desk, venue, 10)} == {"changed"}
        assert [call.verdict for call in desk.calls(venue)] == ["clock", *["applied"] * 11]


@jumping_over_sockets
async def test_many_commands_that_meet_a_jumped_clock_at_once_share_one_measurement():
    async with open_desk(clock(), [("desk", "okx")]) as desk:
        desk.fault("clock_skew", "okx", seconds=60.0)
        events = await lanes(desk, "okx", 8)
        assert {word(event) for event in events} == {"changed"}
        meter = [reading for reading in desk.simulator.gate.readings(clock().wall()) if reading.limit == "ip_time"]
        assert meter[0].calls == 2  # at the start, and now


# Outages.


@pytest.mark.parametrize("venue", READABLE)
@jumping_over_sockets
async def test_an_outage_opens_the_breaker_commands_wait_or_are_refused_by_deadline_and_one_probe_ends_it(
    venue: VenueName,
):
    async with open_desk(clock(), [("desk", venue), ("other", venue)]) as desk:
        desk.fault("service_unavailable_503" if venue != "okx" else "okx_50001", venue, account="desk")
        spent = await lanes(desk, venue, 2)
        assert {word(event) for event in spent} == {"venue_unavailable"}
        assert all(isinstance(event, LeverageRejected) and event.retry_at for event in spent)

        calls = len(desk.calls(venue))
        hurried = await desk.ask(venue, 5, expires_in=1.0)
        assert isinstance(hurried, LeverageRejected)
        assert (hurried.reason, hurried.attempts, len(desk.calls(venue))) == ("venue_unavailable", 0, calls)
        assert hurried.retry_at is not None
        assert 0 < hurried.retry_at.timestamp() - at(hurried) <= 5.0

        patient = desk.feed(*(desk.command(target(venue, n), 9) for n in range(10)))
        await asyncio.sleep(12.0)
        assert len(desk.calls(venue)) - calls == 2  # a probe every 5 s
        assert word(await desk.ask(venue, account="other")) == "changed"
        desk.simulator.faults.clear()
        assert {word(event) for event in await asyncio.gather(*patient)} == {"changed"}


@pytest.mark.parametrize("venue", READABLE)
@jumping_over_sockets
async def test_a_leverage_endpoint_that_never_answers_is_only_probed_though_reading_back_works(venue: VenueName):
    async with open_desk(clock(), [("desk", venue)]) as desk:
        desk.fault("black_hole_before", venue)
        begun = clock().wall()
        desk.feed(*(desk.command(target(venue, n)) for n in range(40)))
        await asyncio.sleep(30.0)
        later = [call for call in desk.calls(venue) if call.received_at > begun + 6.0]
        assert 1 <= len(later) <= 5


@pytest.mark.parametrize("venue", ["binance_margin", *READABLE])
@jumping_over_sockets
async def test_the_dead_letters_of_a_venue_that_is_down_are_braked_and_every_command_is_answered(venue: VenueName):
    braked = VenueSettings(dead_letters_per_minute=10, deadline=5.0)
    async with open_desk(clock(), [("desk", venue)], venues={venue: braked}) as desk:
        desk.fault("outage", venue)
        events: list[Event] = []
        for n in range(5):
            events += await lanes(desk, venue, 10, start=10 * n)
        told = [event for event in events if isinstance(event, LeverageRejected) and event.dead_lettered]
        assert len(events) == 50
        assert len(told) == len(desk.log.dead_letters) == (min(10, len(told)))


# Order and deadlines under faults.


@pytest.mark.parametrize("kind", ["reset_after", "black_hole_before", "black_hole_after", "html", "truncated"])
@pytest.mark.parametrize("venue", ["binance_margin", *READABLE])
@jumping_over_sockets
async def test_after_an_unknown_outcome_the_newest_command_is_what_the_venue_ends_with(venue: VenueName, kind: str):
    async with open_desk(clock(), [("desk", venue)]) as desk:
        desk.fault(kind, venue, calls=1)
        first = desk.feed(desk.command(venue, 3))[0]
        await asyncio.sleep(0.01 if venue != "binance_margin" else 60.0)
        last = await desk.ask(venue, 10)
        assert word(last) == "changed"
        assert word(await first) in {"changed", "superseded", "outcome_unknown"}
        assert desk.final(venue) == "10"
        assert desk.values(venue) == sorted(desk.values(venue), key=["3", "10"].index)


@jumping_over_sockets
async def test_an_expired_command_is_never_sent_though_the_venue_comes_back():
    async with open_desk(clock(), [("desk", "okx")]) as desk:
        desk.fault("black_hole_before", "okx", calls=1)
        event = await desk.ask("okx", expires_in=3.0)
        assert isinstance(event, LeverageRejected)
        await asyncio.sleep(30.0)
        assert all(call.received_at < at(event) + 3.0 for call in desk.calls("okx"))
        assert len(desk.calls("okx")) == 1
