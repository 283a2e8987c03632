"""One partition follows the policy: it tells who waits and may not go any more, and learns of the past what is asked.

`partition` runs it beside its settlement, for as long as it owns the partition.
"""

import asyncio
from collections.abc import Callable

from gateway.pipeline.observer import Observer
from gateway.policy.guard import PartitionGuard, PolicyGuard, ReadPast

PAST_PAUSE = 1.0  # seconds until the past is asked for again


async def obey(
    guard: PolicyGuard, rails: PartitionGuard, past: ReadPast | None, *, forbid: Callable[[], None], observer: Observer
) -> None:
    """Follow what rules, for ever.

    Args:
        guard: tells when something else holds.
        rails: the partition's own part of it.
        past: tells what the partition's lanes had; None: nobody knows, and the venue is asked.
        forbid: answers who waits and may not go any more.
        observer: is told where the past cannot be read.
    """
    changed = asyncio.Event()
    unwatch = guard.watch(changed.set)
    try:
        while True:
            changed.clear()
            forbid()
            if rails.needs_past:
                await _learn(rails, past, observer)
                forbid()
            await changed.wait()
    finally:
        unwatch()


async def _learn(rails: PartitionGuard, past: ReadPast | None, observer: Observer) -> None:
    """No call begins meanwhile; what Kafka does not tell is asked for again."""
    while True:
        since = rails.begin_learning()
        try:
            if past is not None:
                await past(since, rails.replay)
        except Exception as error:  # noqa: BLE001 - whatever a client raises here, the cure is the same
            observer.missed_past(error)
            await asyncio.sleep(PAST_PAUSE)
        else:
            rails.end_learning()
            return
