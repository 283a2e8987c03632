"""Whether this instance is alive and ready, from what its parts say of themselves; no I/O.

Alive means that our own loops turn, which a restart can mend; never whether Kafka or a venue is there, nor whether the
group has us: an outage must not restart the fleet. Ready means that commands of what it owns are being worked on.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from gateway.clock import Clock
from gateway.kafka.group import Group
from gateway.pipeline.steps import LaneWait
from gateway.telemetry.sampling import Sampler

TURN_PATIENCE = 60.0  # seconds without a turn of a loop that turns every second


class GatewayHealth:
    """Answers `/livez`, `/readyz` and `/lanes`."""

    def __init__(self, group: Group, sampler: Sampler, clock: Clock) -> None:
        self._group = group
        self._sampler = sampler
        self._clock = clock

    def alive(self) -> tuple[bool, dict[str, Any]]:
        """Whether the event loop turns, and our own tasks in it."""
        silence = self._clock.monotonic() - self._sampler.turned_at
        return silence < TURN_PATIENCE, {"seconds_since_turn": round(silence, 3)}

    def lanes(self) -> Iterator[LaneWait]:
        """What each lane waits for."""
        return chain.from_iterable(partition.waits() for partition in self._group.partitions)

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Joined, everything owned is restored and leased, and not draining; owning nothing is standing by."""
        partitions = self._group.partitions
        restoring = self._group.taking_over + sum(partition.state != "running" for partition in partitions)
        refused = sum(partition.is_refused for partition in partitions)
        lease = self._group.lease_remaining
        why = {
            "joined": self._group.joined,
            "partitions": len(partitions),
            "not_running": restoring,
            "lease_seconds": round(lease, 3),
            "refused": refused,
            "fetching": self._group.is_fetching,
            "draining": self._group.is_draining,
        }
        is_leased = lease > 0 or not partitions
        works = self._group.joined and restoring == 0 and not refused and self._group.is_fetching
        return works and is_leased and not self._group.is_draining, why
