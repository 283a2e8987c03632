"""Tasks that nobody but their owner may end."""

import asyncio
from collections.abc import Awaitable, Callable


class UnaskedCancellationError(Exception):
    """Raised where an await was cancelled, and nobody had asked its task to end."""


async def lasting(work: Callable[[], Awaitable[None]]) -> None:
    """Do what may be cancelled by its owner only.

    aiokafka hands the cancellation of its own tasks on to whoever calls it next, and an `asyncio.TaskGroup` takes a
    task that ends so for one that was told to: what it did is done by nobody from then on, and nobody hears of it.

    Raises:
        UnaskedCancellationError: a cancellation came out of what was awaited.
    """
    try:
        await work()
    except asyncio.CancelledError as cancellation:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise UnaskedCancellationError("a task of the client library was cancelled") from cancellation
