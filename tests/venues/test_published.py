"""Which capacities an exchangeInfo tells, and what is no such answer."""

import pytest

from gateway.transport.messages import HttpReply
from schemas import VenueName
from tests.venues.asking import VENUES, said

WEIGHT = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 1800}
ORDERS = {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200}


def info(*limits: object) -> dict[str, object]:
    return {"timezone": "UTC", "serverTime": 1, "rateLimits": limits, "symbols": [{"symbol": "BTCUSDT"}] * 3}


def capacities(venue: VenueName, answer: HttpReply) -> dict[str, int]:
    publishing = VENUES[venue].publishing
    assert publishing is not None
    return publishing.capacities(answer)


@pytest.mark.parametrize("venue", ["binance_usdm", "ztdx"])
def test_the_weight_of_our_window_is_told(venue):
    assert capacities(venue, said(200, info(ORDERS, WEIGHT))) == {"ip_weight": 1800}
    in_seconds = WEIGHT | {"interval": "SECOND", "intervalNum": 60}
    assert capacities(venue, said(200, info(in_seconds))) == {"ip_weight": 1800}


@pytest.mark.parametrize("venue", ["binance_usdm", "ztdx"])
@pytest.mark.parametrize(
    "answer",
    [
        said(429, info(WEIGHT)),
        said(200, info(ORDERS)),
        said(200, info(WEIGHT | {"interval": "SECOND"})),
        said(200, info(WEIGHT | {"interval": "FORTNIGHT"})),
        said(200, info(WEIGHT | {"limit": 0})),
        said(200, info(WEIGHT | {"limit": -5})),
        said(200, info(WEIGHT | {"limit": 10**12})),
        said(200, info(WEIGHT | {"limit": "1800"})),
        said(200, info({})),
        said(200, []),
        said(200, b""),
        said(200, b"<html>"),
        said(200, b"[" * 100_000),
        said(200, b'{"rateLimits": "\xff"}'),
    ],
)
def test_all_else_tells_nothing(venue, answer):
    assert capacities(venue, answer) == {}


@pytest.mark.parametrize("venue", ["binance_margin", "binance_portfolio", "okx"])
def test_venues_that_publish_none_are_not_asked(venue):
    assert VENUES[venue].publishing is None
