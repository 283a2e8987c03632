"""Metrics: bounded labels, zeros from the start, one row each for the README."""

import re

from prometheus_client import generate_latest

from gateway.telemetry.metrics import OUTCOMES, Metrics, markdown_table
from schemas.targets import VENUES


def shown(metrics):
    return generate_latest(metrics.registry).decode()


def test_every_venue_and_outcome_is_exported_as_zero_from_the_start():
    text = shown(Metrics())
    for venue in VENUES:
        assert f'gateway_repeats_total{{venue="{venue}"}} 0.0' in text
        assert f'gateway_dead_letters_braked_total{{venue="{venue}"}} 0.0' in text
        assert f'gateway_breaker_open{{venue="{venue}"}} 0.0' in text
        for outcome in OUTCOMES:
            assert f'gateway_commands_total{{outcome="{outcome}",venue="{venue}"}} 0.0' in text


def test_limits_are_exported_as_zero_once_their_venue_is_known():
    metrics = Metrics()
    metrics.zero_limits("okx", ["set_leverage"])
    assert 'gateway_limit_free{limit="set_leverage",venue="okx"} 0.0' in shown(metrics)


def test_nothing_unbounded_is_a_label():
    labels = {label for row in Metrics().rows for label in row.labels}
    assert labels == {
        "venue",
        "outcome",
        "endpoint",
        "mode",
        "status",
        "limit",
        "stage",
        "reason",
        "partition",
        "result",
        "route",
        "code",
        "version",
        "python",
        "decision",
        "state",
    }


def test_names_follow_prometheus_conventions():
    for row in Metrics().rows:
        assert re.fullmatch(r"gateway_[a-z_]+", row.name)
        assert (row.kind == "counter") == row.name.endswith("_total")
        assert row.meaning.endswith(".")


def test_two_gateways_of_one_process_count_apart():
    first, second = Metrics(), Metrics()
    first.repeats_total.labels("okx").inc()
    assert 'gateway_repeats_total{venue="okx"} 0.0' in shown(second)


def test_the_table_has_every_metric_once():
    metrics = Metrics()
    table = markdown_table(metrics)
    assert [line.split("`")[1] for line in table.splitlines()[2:]] == [row.name for row in metrics.rows]
    assert {f"gateway_{name}" for name in vars(metrics)} >= {row.name for row in metrics.rows}
