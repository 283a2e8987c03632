"""The dashboard is made from the list of metrics, and shows each; a live Prometheus judges its queries in tests/app."""

import json

from deploy.grafana import dashboard
from gateway.telemetry.metrics import Metrics


def test_the_file_is_what_is_made_from_the_metrics_now():
    assert dashboard.FILE.read_text("utf-8") == dashboard.text(), "run `make schemas`"


def test_every_metric_has_a_panel():
    queries = " ".join(panel.query for panel in dashboard.panels())
    assert all(row.name in queries for row in Metrics().rows)


def test_no_two_panels_overlap_or_have_one_id():
    made = json.loads(dashboard.text())["panels"]
    drawn = [*made, *made[-1]["panels"]]
    assert len({panel["id"] for panel in drawn}) == len(drawn)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in drawn if panel["type"] != "row"]
    assert len(set(places)) == len(places)
