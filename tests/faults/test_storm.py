"""A storm: 10,000 commands on 200 lanes cost one call a lane by latest wins, and end when the venue's rate allows it."""

import asyncio
from collections import Counter
from random import Random

import pytest

from gateway.limits.limit import Limit
from gateway.venues.catalogue import venues
from schemas import Event, LeverageChanged, LeverageRejected, VenueName
from tests.faults.desk import open_desk, target
from tests.kit.jumping import clock, jumping_over_sockets

COMMANDS, LANES = 10_000, 200
VENUES = venues()


def limit_of(venue: VenueName) -> Limit:
    """The one that a call to set a leverage takes of."""
    return VENUES[venue].limits[0]


@pytest.mark.parametrize("venue", ["binance_usdm", "binance_portfolio", "okx", "ztdx"])
@jumping_over_sockets
async def test_a_storm_ends_within_a_tenth_of_what_the_venues_rate_allows_and_every_command_is_answered(
    venue: VenueName,
):
    order = Random(7)
    async with open_desk(clock(), [("desk", venue)]) as desk:
        desk.fault("latency", venue, seconds=0.05)
        numbers = [n % LANES for n in range(COMMANDS)]
        order.shuffle(numbers)
        commands = [desk.command(target(venue, number), order.randint(1, 20)) for number in numbers]
        newest = {command.target.lane: command for command in commands}
        begun = clock().wall()
        answers: list[asyncio.Future[Event]] = []
        for start in range(0, COMMANDS, 500):
            while desk.partition.full:  # noqa: ASYNC110 - as the group does it
                await asyncio.sleep(0.005)
            answers += desk.feed(*commands[start : start + 500])
        read = clock().wall()
        events = await asyncio.gather(*answers)

        limit = limit_of(venue)
        ideal = LANES * limit.window / limit.capacity
        assert clock().wall() - begun <= 1.1 * ideal
        told = Counter(event.reason if isinstance(event, LeverageRejected) else "changed" for event in events)
        calls = desk.calls(venue)
        assert told.total() == COMMANDS
        assert set(told) == {"changed", "superseded"}
        assert told["changed"] == len(calls)
        assert len([call for call in calls if call.received_at > read]) <= LANES
        assert desk.refused_for_limits() == []
        for lane, command in newest.items():
            assert desk.simulator.state()[f"{venue}:desk:{lane}"] == str(command.leverage)
            assert isinstance(desk.log.answer(command.command_id).result(), LeverageChanged)
