"""The one way to learn what is answered: ask, fence, ask again, read.

Used when a partition is assigned, and after a transaction whose outcome is unknown. The first question spares the
present owner a fence by one that is none; the second is the proof that a later owner fences after us, so that nothing
is written between its fence and its reading.
"""

from collections.abc import Awaitable
from typing import TypeVar

from gateway.ownership.ledger import Checkpoint, LogPosition
from gateway.ownership.ports import AnswerLog, NotOwnerError, Ownership, Tail
from gateway.ownership.repeats import RepeatWindow

T = TypeVar("T")


async def learn(
    ownership: Ownership, log: AnswerLog, checkpoint: Checkpoint, start: LogPosition, window: RepeatWindow | None = None
) -> Tail:
    """Return what the answer topics say from `start` on, as the only one who can write to them.

    Raises:
        NotOwnerError: the partition is another's. Whatever else Kafka raises may be tried again from the beginning.
    """
    await while_ours(ownership, ownership.renew(checkpoint))
    await while_ours(ownership, log.fence())
    await while_ours(ownership, ownership.renew(checkpoint))
    return await while_ours(ownership, log.read(start, window, lowest=checkpoint.offset))


async def while_ours(ownership: Ownership, step: Awaitable[T]) -> T:
    """Return what a step of a takeover gives; NotOwnerError where the partition went away meanwhile."""
    result = await step
    if not ownership.held:
        raise NotOwnerError("the partition was revoked while it was taken over")
    return result
