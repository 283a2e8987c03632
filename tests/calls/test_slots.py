"""Slots: no account takes all of them, everybody who waits gets one, and none is lost."""

import asyncio
from random import Random

import pytest

from gateway.calls.slots import Slots


async def take(slots: Slots, account: str) -> None:
    """Wait for a slot; cancelled, none is kept."""
    held = asyncio.Event()
    place = slots.line_up(account, held.set)
    try:
        await (held.wait() if place else asyncio.sleep(0))
    except asyncio.CancelledError:
        if place:
            place.leave()
        else:
            slots.give_back(account)
        raise


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_account_alone_gets_half_and_the_next_still_finds_room():
    slots = Slots(8)
    hogs = [asyncio.create_task(take(slots, "hog")) for _ in range(20)]
    await settled()
    assert sum(hog.done() for hog in hogs) == 4
    others = [asyncio.create_task(take(slots, f"other-{n}")) for n in range(3)]
    await settled()
    assert all(other.done() for other in others)
    for hog in hogs:
        hog.cancel()
    await asyncio.gather(*hogs, return_exceptions=True)


async def test_one_slot_is_enough_for_all_to_take_turns():
    slots, order = Slots(1), list[str]()

    async def call(account: str) -> None:
        await take(slots, account)
        order.append(account)
        await asyncio.sleep(0)
        slots.give_back(account)

    await asyncio.gather(*(call(account) for account in ("a", "a", "a", "b", "c")))
    assert sorted(order) == ["a", "a", "a", "b", "c"]
    assert set(order[:4]) == {"a", "b", "c"}


async def test_who_stops_waiting_takes_none_along():
    slots = Slots(1)
    await take(slots, "a")
    waiting = [asyncio.create_task(take(slots, "a")) for _ in range(3)]
    await settled()
    waiting[0].cancel()
    slots.give_back("a")
    waiting[1].cancel()  # granted just now
    await asyncio.gather(*waiting[:2], return_exceptions=True)
    await asyncio.wait_for(waiting[2], 1)


@pytest.mark.parametrize("seed", range(20))
async def test_none_is_lost_and_none_is_made_whatever_happens(seed: int):
    random, count = Random(seed), 6
    slots, held, most = Slots(count), 0, list[int]()

    async def call(account: str) -> None:
        nonlocal held
        await take(slots, account)
        held += 1
        most.append(held)
        try:
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
        finally:
            held -= 1
            slots.give_back(account)

    tasks: list[asyncio.Task[None]] = []
    for _ in range(300):
        tasks.append(asyncio.create_task(call(random.choice("abcdefghij"))))
        if random.random() < 0.2:
            random.choice(tasks).cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert max(most) <= count
    taken = [asyncio.create_task(take(slots, f"new-{n}")) for n in range(count)]
    await settled()
    assert all(task.done() for task in taken)
