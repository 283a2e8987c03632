"""What all partitions of a process share, built from the settings: the one place where a pipeline is put together.

`app` and the simulation call `build_parts`; `partition` works with what it makes.
"""

import random
from collections.abc import Callable, Mapping

from msgspec import Struct

from gateway.calls.venue_caller import VenueCaller
from gateway.clock import Clock
from gateway.ownership.lease import Afterlife, afterlife
from gateway.ownership.repeats import RepeatWindow
from gateway.pipeline.again import Again
from gateway.pipeline.brake import DeadLetterBrake
from gateway.pipeline.intake import Intake
from gateway.pipeline.lane import LanePolicy
from gateway.pipeline.observer import Observer
from gateway.pipeline.rules import Deadline
from gateway.policy.guard import PolicyGuard
from gateway.settings.tree import Settings, VenueSettings
from gateway.venues.credentials import Keyring
from gateway.venues.venue import Venue
from schemas import VenueName


class PartitionPolicy(Struct, frozen=True, kw_only=True):
    """What bounds one partition; times in seconds."""

    topic: str
    group: str
    collect: float
    transaction_patience: float
    afterlife: Afterlife
    max_incomplete: int
    max_lane_queue: int
    repeat_window: RepeatWindow


def lane_policy(caller: VenueCaller, jitter: random.Random) -> LanePolicy:
    """What a venue's settings say of its lanes."""
    settings = caller.settings
    again = Again(
        jitter,
        max_attempts=settings.max_attempts,
        backoff_base=settings.backoff_base,
        backoff_cap=settings.backoff_cap,
    )
    return LanePolicy(settings.latest_wins, caller.settles_within, again)


class Parts(Struct, frozen=True, kw_only=True):
    """What all partitions of a process share."""

    policy: PartitionPolicy
    intake: Intake
    callers: Mapping[VenueName, VenueCaller]
    lanes: Mapping[VenueName, LanePolicy]
    accounts: Keyring
    brake: DeadLetterBrake
    clock: Clock
    observer: Observer
    guard: PolicyGuard | None = None


def build_parts(
    settings: Settings,
    *,
    venues: Mapping[VenueName, Venue],
    callers: Mapping[VenueName, VenueCaller],
    accounts: Keyring,
    partition_of: Callable[[bytes], int],
    partition_change: Callable[[], str | None],
    clock: Clock,
    observer: Observer,
    guard: PolicyGuard | None = None,
    jitter: random.Random,
) -> Parts:
    """Put a pipeline together.

    Args:
        settings: checked ones.
        venues: all that a command may name.
        callers: of the venues that some account has keys for.
        accounts: whose keys sign.
        partition_of: where a key belongs.
        partition_change: how the number of partitions differs from the settings', if it does.
        clock: the time.
        observer: is told what becomes of commands.
        guard: the policy, where there is one.
        jitter: for the pauses between two tries.
    """
    of_venues: dict[VenueName, VenueSettings] = {name: getattr(settings.venues, name) for name in venues}
    return Parts(
        policy=_partition_policy(settings, callers),
        intake=Intake(
            topic=settings.kafka.topics.commands,
            venues=venues,
            deadlines={name: Deadline(one.deadline, one.deadline_counts_from) for name, one in of_venues.items()},
            accounts=accounts,
            partition_of=partition_of if settings.kafka.check_partitioner else None,
            partition_change=partition_change,
            clock=clock,
            venue_wall=lambda venue: callers[venue].wall() if venue in callers else clock.wall(),
        ),
        callers=callers,
        lanes={name: lane_policy(caller, jitter) for name, caller in callers.items()},
        accounts=accounts,
        brake=DeadLetterBrake({name: one.dead_letters_per_minute for name, one in of_venues.items()}),
        clock=clock,
        observer=observer,
        guard=guard,
    )


def _partition_policy(settings: Settings, callers: Mapping[VenueName, VenueCaller]) -> PartitionPolicy:
    kafka, pipeline = settings.kafka, settings.pipeline
    times = [(one.settings.call_timeout, one.settles_within) for one in callers.values()]
    return PartitionPolicy(
        topic=kafka.topics.commands,
        group=kafka.group_id,
        collect=pipeline.collect_ms / 1000,
        transaction_patience=kafka.request_timeout_ms / 1000,
        afterlife=afterlife(kafka.lease, times, static=kafka.group_instance_id is not None),
        max_incomplete=pipeline.max_incomplete,
        max_lane_queue=pipeline.max_lane_queue,
        repeat_window=RepeatWindow(pipeline.repeat_window_count, pipeline.repeat_window_age),
    )
