"""Writes the Grafana dashboard from the gateway's list of metrics: `python -m deploy.grafana.dashboard`.

Above what is asked at 3 a.m., below a panel for every metric there is, by its kind; a new metric is on it by itself.
`leverage-gateway.json` is imported as it is, or provisioned; it asks for the data source when opened.
"""

import json
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.telemetry.metrics import Metrics, Row

FILE = Path(__file__).parent / "leverage-gateway.json"
WIDTH, HEIGHT, COLUMNS = 8, 7, 3
CHOSEN = 'job=~"$job"'
SOURCE = {"type": "prometheus", "uid": "${source}"}


class Panel(Struct, frozen=True):
    """One graph: its title, its query in PromQL, how a line is named, its unit, and what it means."""

    title: str
    query: str
    legend: str
    unit: str = "short"
    meaning: str = ""


FIRST = (
    Panel(
        "Answers a second, by outcome",
        f"sum by (outcome) (rate(gateway_commands_total{{{CHOSEN}}}[$__rate_interval]))",
        "{{outcome}}",
        "ops",
    ),
    Panel(
        "Commands that could not be carried out (objective 0.5 %)",
        f"gateway:failed:ratio_rate5m{{{CHOSEN}}}",
        "{{venue}}",
        "percentunit",
        "rate_limited, venue_unavailable, outcome_unknown and expired, of all.",
    ),
    Panel(
        "Answers slower than 5 s (objective 1 %)",
        f"gateway:slow:ratio_rate5m{{{CHOSEN}}}",
        "{{venue}}",
        "percentunit",
    ),
    Panel(
        "Time to an answer, 99 of 100",
        "histogram_quantile(0.99, sum by (venue, le)"
        f" (rate(gateway_command_duration_seconds_bucket{{{CHOSEN}}}[$__rate_interval])))",
        "{{venue}}",
        "s",
    ),
    Panel(
        "Commands not answered yet: unread, and read",
        f"sum by (instance) (gateway_unread_offsets{{{CHOSEN}}})"
        f" + sum by (instance) (gateway_incomplete_offsets{{{CHOSEN}}})",
        "{{instance}}",
    ),
    Panel(
        "Alerts",
        'ALERTS{alertname=~"Gateway.*"}',
        "{{alertname}} {{alertstate}} {{venue}} {{instance}}",
        "short",
        "Of the rules in deploy/prometheus.",
    ),
    Panel(
        "Memory",
        f"process_resident_memory_bytes{{{CHOSEN}}} and on (instance) gateway_build_info",
        "{{instance}}",
        "bytes",
    ),
    Panel(
        "Processor, cores",
        f"rate(process_cpu_seconds_total{{{CHOSEN}}}[$__rate_interval]) and on (instance) gateway_build_info",
        "{{instance}}",
    ),
    Panel(
        "Descriptors in use",
        f"process_open_fds{{{CHOSEN}}} / process_max_fds and on (instance) gateway_build_info",
        "{{instance}}",
        "percentunit",
    ),
)


def panels() -> list[Panel]:
    """All of them, in the dashboard's order."""
    return [*FIRST, *map(panel_of, Metrics().rows)]


def panel_of(row: Row) -> Panel:
    """What a metric of this kind is asked: a counter its rate, a histogram its 99th percentile, a gauge its most."""
    unit = "s" if row.name.endswith("_seconds") else "percentunit" if row.name.endswith("_ratio") else "short"
    labels = row.labels if row.kind != "gauge" else (*row.labels, "instance")
    by, legend = ", ".join(labels), " ".join(f"{{{{{label}}}}}" for label in labels)
    if row.kind == "counter":
        query = f"sum by ({by}) (rate({row.name}{{{CHOSEN}}}[$__rate_interval]))"
        return Panel(f"{row.name}, a second", query, legend, "ops", row.meaning)
    if row.kind == "histogram":
        by = ", ".join((*labels, "le"))
        query = f"histogram_quantile(0.99, sum by ({by}) (rate({row.name}_bucket{{{CHOSEN}}}[$__rate_interval])))"
        return Panel(f"{row.name}, 99 of 100", query, legend, unit, row.meaning)
    return Panel(row.name, f"max by ({by}) ({row.name}{{{CHOSEN}}})", legend, unit, row.meaning)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    drawn = [_drawn(panel, place) for place, panel in enumerate(panels())]
    first, others = drawn[: len(FIRST)], drawn[len(FIRST) :]
    row = {"id": len(drawn) + 1, "type": "row", "title": "Every metric", "collapsed": True, "panels": others}
    end = len(first) // COLUMNS * HEIGHT
    return {
        "uid": "leverage-gateway",
        "title": "Leverage gateway",
        "tags": ["leverage-gateway"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_data_source(), _job()]},
        "panels": [*first, {**row, "gridPos": {"x": 0, "y": end, "w": WIDTH * COLUMNS, "h": 1}}],
    }


def _drawn(panel: Panel, place: int) -> dict[str, Any]:
    row, column = divmod(place, COLUMNS)
    target = {"refId": "A", "datasource": SOURCE, "expr": panel.query, "legendFormat": panel.legend}
    return {
        "id": place + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.meaning,
        "datasource": SOURCE,
        "targets": [target],
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
    }


def _data_source() -> dict[str, Any]:
    return {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _job() -> dict[str, Any]:
    query = "label_values(gateway_build_info, job)"
    every = {"includeAll": True, "allValue": ".+", "current": {"text": "All", "value": "$__all"}}
    return {"name": "job", "type": "query", "datasource": SOURCE, "query": query, "refresh": 2, **every}


def text() -> str:
    """The file's text."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
