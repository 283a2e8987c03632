"""Whether traces are made, as the settings say; the extra `traces` is needed for no more than that.

`app` asks here once.
"""

import socket
from typing import TYPE_CHECKING

from gateway.clock import Clock
from gateway.settings.tree import KafkaSettings, Settings
from gateway.telemetry.journeys import Journeys

if TYPE_CHECKING:
    from gateway.telemetry.span_export import SpanExport


class TracesMissingError(Exception):
    """Raised where traces are wanted and the extra `traces` is not installed."""


def span_export(settings: Settings) -> "SpanExport | None":
    """Return the way for spans out of this process, not started; None where none is wanted.

    Raises:
        TracesMissingError: the extra is not installed.
    """
    traces = settings.traces
    if traces.endpoint is None:
        return None
    try:
        from gateway.telemetry.span_export import SpanExport  # noqa: PLC0415 - only who traces needs the extra
    except ImportError as error:
        remedy = "install leverage-gateway[traces], or leave traces.endpoint out"
        raise TracesMissingError(f"traces.endpoint needs the extra `traces`: {remedy}") from error
    instance = settings.kafka.group_instance_id or f"{socket.gethostname()}/{settings.http.listen}"
    return SpanExport(traces.endpoint, share=traces.share, service=settings.kafka.group_id, instance=instance)


def journeys(spans: "SpanExport | None", kafka: KafkaSettings, clock: Clock) -> Journeys | None:
    """What makes spans of what the observer is told; None where none are wanted."""
    return None if spans is None else Journeys(spans, kafka.topics, group=kafka.group_id, clock=clock)
