"""One venue or account in a black hole for the whole run: it delays nobody else's commands."""

import pytest

from schemas import VenueName
from tests.faults.desk import TARGETS, open_desk, target
from tests.faults.latency import Account, latencies, p99
from tests.kit.jumping import clock, jumping_over_sockets

OTHERS: list[Account] = [
    ("desk", "binance_usdm"),
    ("desk", "binance_portfolio"),
    ("desk", "okx"),
    ("desk", "ztdx"),
]
LANES = 300


@pytest.mark.parametrize("venue", list(TARGETS))
@jumping_over_sockets
async def test_a_venue_in_a_black_hole_does_not_slow_the_others(venue: VenueName):
    others = [one for one in OTHERS if one[1] != venue]
    async with open_desk(clock(), [*others, ("desk", venue)]) as desk:
        for _, other in others:
            desk.fault("latency", other, seconds=0.05)
        without = await latencies(desk, others, seconds=20)
        desk.fault("black_hole_before", venue)
        lost = desk.feed(*(desk.command(target(venue, n)) for n in range(LANES)))
        beside = await latencies(desk, others, seconds=20)
        assert p99(beside) <= 1.5 * p99(without)
        assert beside[-1] <= 1.5 * without[-1]
        assert not lost[-1].done()


@pytest.mark.parametrize("venue", ["binance_usdm", "binance_portfolio", "okx", "ztdx"])
@jumping_over_sockets
async def test_an_account_in_a_black_hole_does_not_slow_the_others_of_its_venue(venue: VenueName):
    others: list[Account] = [("other", venue)]
    async with open_desk(clock(), [("desk", venue), *others]) as desk:
        desk.fault("latency", venue, account="other", seconds=0.05)
        without = await latencies(desk, others, seconds=20)
        desk.fault("black_hole_before", venue, account="desk")
        desk.feed(*(desk.command(target(venue, n)) for n in range(LANES)))
        beside = await latencies(desk, others, seconds=20)
        assert p99(beside) <= 1.5 * p99(without), (p99(beside), p99(without))
        assert beside[-1] <= 1.5 * without[-1], (beside[-1], without[-1])
