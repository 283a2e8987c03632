"""Whether traces are made: as the settings say, and not without the extra."""

import sys

import pytest

from gateway.cli.exits import explain
from gateway.settings.tree import KafkaSettings, Settings, TracesSettings
from gateway.telemetry.span_export import SpanExport
from gateway.telemetry.traces import TracesMissingError, span_export

ON = Settings(traces=TracesSettings(endpoint="http://127.0.0.1:1/v1/traces"), kafka=KafkaSettings(group_id="g"))


def test_there_are_none_unless_somebody_takes_them():
    assert span_export(Settings()) is None
    assert isinstance(span_export(ON), SpanExport)


def test_without_the_extra_the_start_ends_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gateway.telemetry.span_export", None)
    with pytest.raises(TracesMissingError, match=r"install leverage-gateway\[traces\]") as missing:
        span_export(ON)
    assert explain(missing.value) == (2, str(missing.value))
