"""Gauges that are sampled: what waits, what is free, what is owned, and how late the event loop is.

Everything else is counted where it happens; `app` owns the task.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

from prometheus_client import Gauge

from gateway.calls.venue_caller import VenueCaller
from gateway.clock import Clock
from gateway.kafka.group import Group
from gateway.limits.permits import Permits
from gateway.telemetry.metrics import MODES, Metrics
from gateway.venues.accounts import Accounts
from schemas import VenueName

INTERVAL = 1.0  # seconds


class Sampler:
    """Looks at the parts once a second.

    Attributes:
        turned_at: when it last did, by the monotonic clock.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        group: Group,
        permits: Permits,
        callers: Mapping[VenueName, VenueCaller],
        accounts: Accounts,
        clock: Clock,
        dropped_lines: Callable[[], int],
        dropped_traces: Callable[[], int],
    ) -> None:
        self._metrics = metrics
        self._group = group
        self._permits = permits
        self._callers = callers
        self._accounts = accounts
        self._clock = clock
        self._dropped = {
            metrics.log_lines_dropped_total: _Growth(dropped_lines),
            metrics.traces_dropped_total: _Growth(dropped_traces),
        }
        self.turned_at = clock.monotonic()

    async def run(self) -> None:
        """Sample for ever."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + INTERVAL
            await asyncio.sleep(INTERVAL)
            self.turned_at = self._clock.monotonic()
            self._metrics.event_loop_lag_seconds.set(max(0.0, loop.time() - due))
            self.sample()

    def sample(self) -> None:
        """Set every sampled gauge."""
        metrics, group = self._metrics, self._group
        metrics.lanes.set(sum(partition.lane_count for partition in group.partitions))
        metrics.in_flight.set(sum(caller.in_flight for caller in self._callers.values()))
        metrics.paused_partitions.set(group.paused)
        metrics.lease_remaining_seconds.set(group.lease_remaining)
        metrics.fetch_failing.set(not group.is_fetching)
        metrics.refused_partitions.set(sum(partition.is_refused for partition in group.partitions))
        _set_by_partition(metrics.incomplete_offsets, group.incomplete)
        _set_by_partition(metrics.unread_offsets, group.unread)
        for name, caller in self._callers.items():
            metrics.breaker_open.labels(name).set(caller.breakers.open)
            metrics.venue_clock_offset_seconds.labels(name).set(caller.clock_offset or 0.0)
            metrics.accounts_stopped.labels(name).set(sum(venue == name for venue, _ in self._accounts.stopped))
        self._sample_limits()
        for counter, dropped in self._dropped.items():
            counter.inc(dropped.since())

    def _sample_limits(self) -> None:
        """The fullest scope of each limit speaks for it: an account's own numbers are no label."""
        metrics = self._metrics
        scopes = sorted(self._permits.snapshot(), key=lambda scope: scope.used / scope.capacity)
        for scope in scopes:
            metrics.limit_used_ratio.labels(scope.venue, scope.limit).set(scope.used / scope.capacity)
            metrics.limit_used.labels(scope.venue, scope.limit).set(scope.used)
            metrics.limit_free.labels(scope.venue, scope.limit).set(scope.free)
        modes = Counter((scope.venue, scope.limit, scope.mode) for scope in scopes)
        for venue, limit in {(scope.venue, scope.limit) for scope in scopes}:
            for mode in MODES:
                metrics.limit_mode.labels(venue, limit, mode).set(modes[venue, limit, mode])
        for venue in self._callers:
            waiting = max((scope.waiting for scope in scopes if scope.venue == venue), default=0)
            metrics.limit_waiting.labels(venue).set(waiting)


class _Growth:
    """By how much a number has grown since it was last asked for."""

    def __init__(self, number: Callable[[], int]) -> None:
        self._number = number
        self._before = 0

    def since(self) -> int:
        before, self._before = self._before, self._number()
        return self._before - before


def _set_by_partition(gauge: Gauge, values: Mapping[int, int]) -> None:
    gauge.clear()  # who owns a partition now speaks for it
    for number, value in values.items():
        gauge.labels(str(number)).set(value)
