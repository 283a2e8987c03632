"""Spans to a collector by OTLP over HTTP; the extra `traces`, imported only where `traces.endpoint` is set.

A thread of the SDK's sends them. A receiver that hangs or is gone costs no more than a bounded queue: where that is
full, whole traces are left out before they are made, and counted.
"""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Self

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.telemetry.journeys import Kind, Span
from gateway.version import version

MOST_WAITING = 4096  # spans
BATCH = 512  # spans in one request
EVERY_MS = 1000.0  # between two requests where there are fewer
REQUEST_PATIENCE = 5.0  # seconds for one request, its repetitions included
CLOSE_PATIENCE = 1.0  # seconds that the exit waits for what is left

_KINDS: dict[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}


class SpanExport:
    """The way of spans out of this process; use it with `async with`."""

    def __init__(self, endpoint: str, *, share: float, service: str, instance: str) -> None:
        """Take the parts; nothing is sent before it is entered.

        Args:
            endpoint: the URL that takes spans.
            share: of the traces that begin here.
            service: what this gateway is called in traces.
            instance: and this process of it.
        """
        resource = {"service.name": service, "service.version": version(), "service.instance.id": instance}
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)), resource=Resource.create(resource), shutdown_on_exit=False
        )
        self._tracer = self._provider.get_tracer("leverage-gateway", version())
        self._exporter = _Counted(OTLPSpanExporter(endpoint, timeout=REQUEST_PATIENCE))
        self._propagator = TraceContextTextMapPropagator()
        self._made = 0
        self._left_out = 0

    @property
    def dropped(self) -> int:
        """Traces that the receiver did not get, ever."""
        return self._left_out + self._exporter.failed

    async def __aenter__(self) -> Self:
        """Start to send."""
        self._provider.add_span_processor(
            BatchSpanProcessor(
                self._exporter,
                max_queue_size=MOST_WAITING + BATCH,
                schedule_delay_millis=EVERY_MS,
                max_export_batch_size=BATCH,
            )
        )
        return self

    def take(self, traceparent: str | None, root: Span, children: Iterator[Span]) -> None:
        """Take a tree on, where it is to be traced and there is room."""
        if self._made - self._exporter.taken >= MOST_WAITING:
            self._left_out += 1
            return
        parent = self._propagator.extract({} if traceparent is None else {"traceparent": traceparent}, Context())
        context = self._add(parent, root)
        if context is not None:
            for child in children:
                self._add(context, child)

    async def __aexit__(self, *_: object) -> None:
        """Send what is left, for a moment; what hangs by then is left behind."""
        loop, closed = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # nobody waits any more, and the loop is closed
                loop.call_soon_threadsafe(closed.set)

        threading.Thread(target=shut_down, name="last spans", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_PATIENCE):
                await closed.wait()

    def _add(self, parent: Context, made: Span) -> Context | None:
        """Make a span; None where it is not traced."""
        span = self._tracer.start_span(
            made.name,
            parent,
            kind=_KINDS[made.kind],
            attributes=made.attributes,
            start_time=_nanoseconds(made.start),
            record_exception=False,
        )
        if not span.is_recording():
            return None
        if made.error is not None:
            span.set_attribute("error.type", made.error)
            span.set_status(Status(StatusCode.ERROR))
        span.end(_nanoseconds(made.end))
        self._made += 1
        return set_span_in_context(span, Context())


class _Counted(SpanExporter):
    """Counts what it hands on, and the traces of what did not arrive; called by the SDK's thread.

    Attributes:
        taken: spans taken out of the queue.
        failed: traces whose first span did not arrive.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.taken = 0
        self.failed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch once; what does not arrive is dropped."""
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self.taken += len(spans)
            if result is not SpanExportResult.SUCCESS:
                self.failed += sum(span.kind is SpanKind.CONSUMER for span in spans)
        return result

    def shutdown(self) -> None:
        """Give requests under way up."""
        self._exporter.shutdown()


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
