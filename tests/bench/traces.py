"""`python -m tests.bench.traces`: CPU a command of the pipeline with its metrics and logs, by what becomes of traces.

As `heart`, and the exporter's thread is counted in; the collector is a process of its own. Runs take turns, and each
line is the best of five.
"""

import asyncio
import logging
import multiprocessing
from multiprocessing.connection import Connection

import structlog

from gateway.clock import SystemClock
from gateway.telemetry import span_export
from gateway.telemetry.journeys import Journeys
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.observer import Telemetry
from schemas.topics import Topics
from tests.app.otlp import collector
from tests.bench import heart

LANES = 50
TIMES = 5
SHARES = {"off": None, "on, none sampled": 0.0, "on, one in ten": 0.1, "on, every command": 1.0}


async def collect(told: Connection) -> None:
    """Listen until nobody asks any more."""
    async with collector() as otlp:
        told.send(otlp.url)
        await asyncio.to_thread(told.poll, None)


async def run(url: str, share: float | None) -> float:
    """CPU microseconds a command."""
    if share is None:
        return await heart.run(LANES, Telemetry(Metrics()))
    async with span_export.SpanExport(url, share=share, service="bench", instance="1") as spans:
        journeys = Journeys(spans, Topics(), group="g", clock=SystemClock())
        spent = await heart.run(LANES, Telemetry(Metrics(), journeys))
    if spans.dropped:
        raise RuntimeError(f"{spans.dropped} traces were dropped, so the numbers are too good")
    return spent


def main() -> None:
    """Print a line a share."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    span_export.MOST_WAITING = 10_000_000  # all of them are made
    span_export.CLOSE_PATIENCE = 60.0
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    url: str = ours.recv()
    costs: dict[str, list[float]] = {name: [] for name in SHARES}
    for _ in range(TIMES):
        for name, share in SHARES.items():
            costs[name].append(asyncio.run(run(url, share)))
    off = min(costs["off"])
    for name, seen in costs.items():
        print(f"{name:18}: {min(seen):6.1f} us CPU a command, {min(seen) - off:+6.1f} us")
    ours.send(None)
    process.join()


def serve(told: Connection) -> None:
    """Run the collector, in its own process."""
    asyncio.run(collect(told))


if __name__ == "__main__":
    main()
