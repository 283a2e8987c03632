"""The README tells the metrics that there are."""

from pathlib import Path

from gateway.telemetry.metrics import Metrics, markdown_table

README = Path(__file__).parents[2] / "README.md"


def test_the_readmes_table_of_metrics_is_the_one_made_from_them():
    _, _, told = README.read_text("utf-8").partition("markdown_table -->\n")
    assert told.partition("<!-- /metrics -->")[0] == markdown_table(Metrics())
