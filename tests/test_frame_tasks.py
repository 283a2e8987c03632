"""Tasks that nobody but their owner may end."""

import asyncio

import pytest

from gateway.tasks import UnaskedCancellationError, lasting


async def for_ever() -> None:
    await asyncio.Event().wait()


async def cancelled_from_within() -> None:
    task = asyncio.ensure_future(for_ever())
    asyncio.get_running_loop().call_soon(task.cancel)
    await task


async def both() -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(lasting(cancelled_from_within))
        tasks.create_task(lasting(for_ever))


async def test_a_cancellation_from_within_is_an_error_that_ends_the_group_of_tasks():
    with pytest.raises(ExceptionGroup) as ended:
        await both()
    assert isinstance(ended.value.exceptions[0], UnaskedCancellationError)


async def test_its_owner_cancels_it_as_any_other():
    task = asyncio.ensure_future(lasting(for_ever))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_end_and_an_error_of_its_own_pass():
    async def fail() -> None:
        raise ValueError("why")

    async def end() -> None:
        return

    await lasting(end)
    with pytest.raises(ValueError, match="why"):
        await lasting(fail)
