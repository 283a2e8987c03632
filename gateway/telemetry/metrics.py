"""Every metric of the gateway in one list: name, type, labels and meaning, from which the README's table is made.

All parts count here; `server` shows the registry. Labels are bounded: no account, symbol, lane or command id.
"""

import platform
from collections.abc import Sequence
from typing import Literal, get_args

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

from gateway.limits.bucket import BucketMode
from gateway.venues.venue import Purpose
from gateway.version import version
from schemas import Reason, VenueName
from schemas.targets import VENUES

OUTCOMES: tuple[str, ...] = ("changed", *get_args(Reason))
PURPOSES: tuple[str, ...] = get_args(Purpose)
Retried = Literal["throttled", "unavailable", "ambiguous", "clock_skewed"]
MODES: tuple[str, ...] = get_args(BucketMode)
RETRIED: tuple[str, ...] = get_args(Retried)
STAGES = ("intake", "execute")
Ended = Literal["committed", "aborted", "unknown", "refused"]

_CALLS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_WAITS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_TRANSACTIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)


class Row(Struct, frozen=True, kw_only=True):
    """One metric as the README lists it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    meaning: str


class Metrics:
    """All metrics, on a registry of their own; venues are exported as zero from the start.

    Attributes:
        registry: what `/metrics` shows.
        rows: one for each metric, in the order of a command's way.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rows: list[Row] = []
        self._define_commands()
        self._define_calls()
        self._define_limits()
        self._define_policy()
        self._define_kafka()
        self._define_edge()
        self._define_process()

    def _define_commands(self) -> None:
        self.commands_total = self._counter(
            "gateway_commands_total", "Commands answered; the outcome is `changed` or the reason.", "venue", "outcome"
        )
        self.command_duration_seconds = self._histogram(
            "gateway_command_duration_seconds", "From reading a command to knowing its answer.", _WAITS, "venue"
        )
        self.repeats_total = self._counter(
            "gateway_repeats_total", "Commands read again, and not answered twice.", "venue"
        )
        self.lanes = self._gauge("gateway_lanes", "Lanes with a command waiting or under way.")
        self.in_flight = self._gauge("gateway_in_flight", "Venue calls under way.")
        self.dead_letters_total = self._counter(
            "gateway_dead_letters_total", "Records written to the dead-letter topic.", "stage", "reason"
        )
        self.dead_letters_braked_total = self._counter(
            "gateway_dead_letters_braked_total", "Dead letters left out by the brake; their events say so.", "venue"
        )
        _zero(self.commands_total, VENUES, OUTCOMES)
        _zero(self.command_duration_seconds, VENUES)
        _zero(self.repeats_total, VENUES)
        _zero(self.dead_letters_total, STAGES, ("undecodable", *get_args(Reason)))
        _zero(self.dead_letters_braked_total, VENUES)

    def _define_calls(self) -> None:
        self.venue_requests_total = self._counter(
            "gateway_venue_requests_total",
            "Requests to venues; the status is the answer's, or `none` where none came.",
            "venue",
            "endpoint",
            "status",
        )
        self.venue_request_duration_seconds = self._histogram(
            "gateway_venue_request_duration_seconds",
            "From sending a request to its answer.",
            _CALLS,
            "venue",
            "endpoint",
        )
        self.retries_total = self._counter(
            "gateway_retries_total", "Calls made again, by what became of the one before.", "venue", "outcome"
        )
        self.breaker_open = self._gauge("gateway_breaker_open", "Accounts whose breaker is open or half open.", "venue")
        self.accounts_stopped = self._gauge(
            "gateway_accounts_stopped", "Accounts whose keys the venue refused, and that are only probed.", "venue"
        )
        self.key_reloads_total = self._counter(
            "gateway_key_reloads_total",
            "Changed key files: `used`, `unusable`, or `refused` by the venue, so that the old ones are used again.",
            "venue",
            "result",
        )
        self.venue_clock_offset_seconds = self._gauge(
            "gateway_venue_clock_offset_seconds",
            "How far the venue's clock is ahead of ours.",
            "venue",
        )
        _zero(self.accounts_stopped, VENUES)
        _zero(self.key_reloads_total, VENUES, ("used", "unusable", "refused"))
        _zero(self.venue_clock_offset_seconds, VENUES)
        _zero(self.venue_request_duration_seconds, VENUES, PURPOSES)
        _zero(self.retries_total, VENUES, RETRIED)
        _zero(self.breaker_open, VENUES)

    def _define_limits(self) -> None:
        self.limit_wait_seconds = self._histogram(
            "gateway_limit_wait_seconds", "How long calls waited for their permit of all limits.", _WAITS, "venue"
        )
        self.limit_used_ratio = self._gauge(
            "gateway_limit_used_ratio", "Used share of a limit, 0 to 1, of the account with most.", "venue", "limit"
        )
        self.limit_free = self._gauge(
            "gateway_limit_free", "Free weight of a limit, of the account with least.", "venue", "limit"
        )
        self.limit_used = self._gauge(
            "gateway_limit_used", "Used weight of a limit, of the account with most.", "venue", "limit"
        )
        self.limit_waiting = self._gauge("gateway_limit_waiting", "Calls that wait for a permit.", "venue")
        self.limit_mode = self._gauge(
            "gateway_limit_mode",
            "Buckets of a limit by who governs them: `own`, `shared`, `fallback` (our share), `unheard` (nobody yet).",
            "venue",
            "limit",
            "mode",
        )
        self.shared_store_up = self._gauge(
            "gateway_shared_store_up",
            "0 while the store of shared limits is gone; 1 where none is shared.",
        )
        self.shared_store_up.set(1)
        self.bans_total = self._counter("gateway_bans_total", "Bans by a venue (418, or its code for it).", "venue")
        for metric in (self.limit_wait_seconds, self.limit_waiting, self.bans_total):
            _zero(metric, VENUES)

    def _define_policy(self) -> None:
        self.policy_decisions_total = self._counter(
            "gateway_policy_decisions_total",
            "Commands that caps and freezes `allowed` or `denied`, and that the candidate would (`shadow_denied`).",
            "venue",
            "decision",
        )
        self.frozen_scopes = self._gauge(
            "gateway_frozen_scopes", "Scopes that are `frozen`, or `lower_only`, as this instance knows.", "state"
        )
        self.policy_staleness_seconds = self._gauge(
            "gateway_policy_staleness_seconds", "How long ago all was known that the policy topic held."
        )
        self.policy_applied_timestamp_seconds = self._gauge(
            "gateway_policy_applied_timestamp_seconds", "When the rules were applied that hold; 0 where there are none."
        )
        self.policy_lost = self._gauge(
            "gateway_policy_lost", "1 while the policy topic cannot be read, and what is known of it is used."
        )
        self.policy_records_refused_total = self._counter(
            "gateway_policy_records_refused_total", "Records of the policy topic that are not obeyed; the log says why."
        )
        _zero(self.policy_decisions_total, VENUES, ("allowed", "denied", "shadow_denied"))
        _zero(self.frozen_scopes, ("frozen", "lower_only"))

    def _define_kafka(self) -> None:
        self.transactions_total = self._counter(
            "gateway_transactions_total", "Transactions, by how they ended.", "result"
        )
        self.transaction_seconds = self._histogram(
            "gateway_transaction_seconds", "From a transaction's begin to its end.", _TRANSACTIONS
        )
        self.incomplete_offsets = self._gauge(
            "gateway_incomplete_offsets", "Commands read and not yet answered.", "partition"
        )
        self.unread_offsets = self._gauge(
            "gateway_unread_offsets", "Offsets of commands that Kafka has after the last one read.", "partition"
        )
        self.assigned_partitions = self._gauge("gateway_assigned_partitions", "Partitions of commands held here.")
        self.paused_partitions = self._gauge(
            "gateway_paused_partitions", "Of these, not read from: full, or just taken over."
        )
        self.refused_partitions = self._gauge(
            "gateway_refused_partitions", "Of these, whose answers Kafka refused several times in a row."
        )
        self.fetch_failing = self._gauge("gateway_fetch_failing", "1 while the last fetch of commands failed.")
        self.unparsed_fetches_total = self._counter(
            "gateway_unparsed_fetches_total",
            "Fetches that the client library could not parse; they are read without it.",
        )
        self.lease_remaining_seconds = self._gauge(
            "gateway_lease_remaining_seconds", "How long calls may still start without a new proof of ownership."
        )
        self.kafka_certificate_expires_timestamp_seconds = self._gauge(
            "gateway_kafka_certificate_expires_timestamp_seconds",
            "Until when our certificate for the brokers is valid, since 1970; 0 where we show none.",
        )
        _zero(self.transactions_total, get_args(Ended))

    def _define_edge(self) -> None:
        self.edge_streams = self._gauge("gateway_edge_streams", "Streams that are open, of WebSockets and of SSE.")
        self.edge_lanes = self._gauge("gateway_edge_lanes", "Lanes that snapshots are made of.")
        self.edge_lag_seconds = self._gauge(
            "gateway_edge_lag_seconds", "How far the edge may be behind the events topic; -1 while it reads the state."
        )
        self.edge_requests_total = self._counter(
            "gateway_edge_requests_total", "Requests to the edge; a stream counts when it ends.", "route", "status"
        )
        self.edge_commands_total = self._counter(
            "gateway_edge_commands_total", "Commands at the door: `taken`, or the code of the refusal.", "result"
        )
        self.edge_ended_total = self._counter(
            "gateway_edge_ended_total", "Streams that the edge ended, by close code.", "code"
        )
        self.edge_read_back_total = self._counter(
            "gateway_edge_read_back_total", "Stretches of older events read from Kafka for those who came back."
        )
        self.edge_passed_over_total = self._counter(
            "gateway_edge_passed_over_total", "Records of events and state that are none."
        )

    def _define_process(self) -> None:
        self.event_loop_lag_seconds = self._gauge(
            "gateway_event_loop_lag_seconds", "How late the event loop's last tick was."
        )
        self.log_lines_dropped_total = self._counter(
            "gateway_log_lines_dropped_total",
            "Log lines left out because nobody read the log fast enough, or the disk is full.",
        )
        self.traces_dropped_total = self._counter(
            "gateway_traces_dropped_total", "Traces left out because `traces.endpoint` did not take them in time."
        )
        self.build_info = self._gauge("gateway_build_info", "Always 1; the labels tell the build.", "version", "python")
        self.build_info.labels(version(), platform.python_version()).set(1)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def zero_limits(self, venue: VenueName, limits: Sequence[str]) -> None:
        """Export a venue's limits as zero; their names are the venue's, so only the start knows them."""
        for metric in (self.limit_used_ratio, self.limit_free, self.limit_used):
            _zero(metric, (venue,), tuple(limits))
        for limit in limits:
            for mode in MODES:
                self.limit_mode.labels(venue, limit, mode)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        self.rows.append(Row(name=name, kind="counter", labels=labels, meaning=meaning))
        return Counter(name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        self.rows.append(Row(name=name, kind="gauge", labels=labels, meaning=meaning))
        return Gauge(name, meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, buckets: Sequence[float], *labels: str) -> Histogram:
        self.rows.append(Row(name=name, kind="histogram", labels=labels, meaning=meaning))
        return Histogram(name, meaning, labels, registry=self.registry, buckets=buckets)


def _zero(metric: Counter | Gauge | Histogram, first: Sequence[str], second: Sequence[str] | None = None) -> None:
    for value in first:
        for other in second if second is not None else (None,):
            metric.labels(*([value] if other is None else [value, other]))


def markdown_table(metrics: Metrics) -> str:
    """The README's table of metrics."""
    lines = ["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"]
    for row in metrics.rows:
        labels = ", ".join(f"`{label}`" for label in row.labels)
        lines.append(f"| `{row.name}` | {row.kind} | {labels} | {row.meaning} |")
    return "\n".join(lines) + "\n"
