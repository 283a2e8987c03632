"""A silent or banned venue on a full partition: others get in, and what does not fit is told at once."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from gateway.settings.tree import PipelineSettings
from schemas import Event, LeverageRejected, SetLeverage
from tests.faults.desk import Desk, open_desk, target
from tests.kit.jumping import clock, jumping_over_sockets

ROOM = 40
DESKS = [("desk", "binance_usdm"), ("other", "okx")]


def word(event: Event) -> str:
    return event.reason if isinstance(event, LeverageRejected) else "changed"


async def fetch(desk: Desk, commands: Iterator[SetLeverage]) -> list[asyncio.Future[Event]]:
    """Feed a backlog as a consumer does: one after the other, paused while the partition is full."""
    answers: list[asyncio.Future[Event]] = []
    for command in commands:
        if desk.partition.full:
            while not desk.partition.has_room:  # noqa: ASYNC110 - as the consumer does
                await asyncio.sleep(0.01)
        answers += desk.feed(command)
    return answers


@pytest.mark.parametrize("fault", ["black_hole_before", "ban"])
@jumping_over_sockets
async def test_a_backlog_for_a_stalled_venue_delays_another_venues_command_no_longer_than_a_call_takes(fault: str):
    small = PipelineSettings(max_incomplete=ROOM, max_in_flight=8)
    async with open_desk(clock(), DESKS, pipeline=small) as desk:
        desk.fault(fault, "binance_usdm", seconds=50)
        begun = clock().monotonic()
        backlog = [desk.command(target("binance_usdm", number)) for number in range(5 * ROOM)]
        answers = await fetch(desk, iter([*backlog, desk.command("okx", account="other")]))
        assert word(await answers.pop()) == "changed"
        assert clock().monotonic() - begun < 12  # a call's 5 s, and a breaker's; its deadline is 60
        told = Counter(word(event) for event in await asyncio.gather(*answers))
        assert told["venue_unavailable" if fault != "ban" else "rate_limited"] >= 4 * ROOM


@jumping_over_sockets
async def test_a_backlog_for_a_venue_that_moves_is_never_refused_for_want_of_room():
    small = PipelineSettings(max_incomplete=ROOM, max_in_flight=8)
    async with open_desk(clock(), DESKS, pipeline=small) as desk:
        backlog = [desk.command(target("binance_usdm", number)) for number in range(5 * ROOM)]
        answers = await fetch(desk, iter(backlog))
        assert {word(event) for event in await asyncio.gather(*answers)} == {"changed"}
