"""A collector that takes traces by OTLP over HTTP, as a real one does: protobuf in, and what it held."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiohttp import web
from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Got(Struct, frozen=True):
    """One span."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    start: float
    end: float
    is_error: bool
    attributes: dict[str, str | int]


class Collector:
    """What came, by request and by span; one that hangs answers nothing."""

    def __init__(self) -> None:
        self.url = ""
        self.spans: list[Got] = []
        self.bodies: list[bytes] = []
        self.services: set[str] = set()
        self.hangs = False
        self.hanging = 0

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.hangs:
            self.hanging += 1
            await asyncio.Event().wait()
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.services |= {
                one.value.string_value for one in resource.resource.attributes if one.key == "service.name"
            }
            self.spans += [got(span) for scope in resource.scope_spans for span in scope.spans]
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )

    def trace_of(self, command_id: str) -> dict[str, Got]:
        """The spans of a command's trace, by name."""
        roots = [span for span in self.spans if span.attributes.get("messaging.message.id") == command_id]
        if not roots:
            return {}
        assert len(roots) == 1
        return {span.name: span for span in self.spans if roots[0].span_id in (span.span_id, span.parent_id)}


def got(span) -> Got:
    values = {one.key: one.value.string_value or one.value.int_value for one in span.attributes}
    return Got(
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano / 1e9,
        span.end_time_unix_nano / 1e9,
        span.status.code == 2,
        values,
    )


@asynccontextmanager
async def collector() -> AsyncGenerator[Collector]:
    """A collector that listens."""
    one = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", one.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    one.url = f"http://{host}:{port}/v1/traces"
    try:
        yield one
    finally:
        await runner.cleanup()
