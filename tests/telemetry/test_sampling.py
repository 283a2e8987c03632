"""Sampled gauges: they tell of what is owned now, and of nothing that went away."""

from types import SimpleNamespace

import pytest
from prometheus_client import generate_latest

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.sampling import Sampler
from tests.kit.clocks import FakeClock


def partition(*, is_refused=False):
    return SimpleNamespace(lane_count=0, is_refused=is_refused)


@pytest.fixture
def group():
    return SimpleNamespace(partitions=[], incomplete={}, unread={}, paused=0, lease_remaining=0.0, is_fetching=True)


@pytest.fixture
def lost():
    return [0]


@pytest.fixture
def shown(group, lost):
    metrics = Metrics()
    sampler = Sampler(
        metrics,
        group=group,
        permits=SimpleNamespace(snapshot=list),
        callers={},
        accounts=SimpleNamespace(stopped=()),
        clock=FakeClock(),
        dropped_lines=lambda: 0,
        dropped_traces=lambda: lost[0],
    )

    def sample():
        sampler.sample()
        return generate_latest(metrics.registry).decode().splitlines()

    return sample


@pytest.mark.parametrize("what", ["incomplete", "unread"])
def test_a_partition_that_went_away_is_not_told_of_any_more(group, shown, what):
    setattr(group, what, {0: 3, 7: 9})
    assert f'gateway_{what}_offsets{{partition="7"}} 9.0' in shown()
    setattr(group, what, {0: 3})
    lines = [line for line in shown() if line.startswith(f"gateway_{what}_offsets{{")]
    assert lines == [f'gateway_{what}_offsets{{partition="0"}} 3.0']


def test_partitions_whose_answers_are_refused_are_counted(group, shown):
    group.partitions = [partition(is_refused=True), partition()]
    assert "gateway_refused_partitions 1.0" in shown()
    group.partitions = [partition(), partition()]
    assert "gateway_refused_partitions 0.0" in shown()


def test_a_fetch_that_fails_is_told_until_one_succeeds(group, shown):
    group.is_fetching = False
    assert "gateway_fetch_failing 1.0" in shown()
    group.is_fetching = True
    assert "gateway_fetch_failing 0.0" in shown()


def test_what_was_dropped_is_counted_once(lost, shown):
    for number in (2, 2, 5):
        lost[0] = number
        assert f"gateway_traces_dropped_total {number}.0" in shown()
