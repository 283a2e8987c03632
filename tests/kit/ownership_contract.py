"""What holds of every `Ownership`: each rule is given a partition that can be claimed again and again."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import pytest

from gateway.ownership.ledger import Checkpoint, LogPosition
from gateway.ownership.ports import NotOwnerError, Ownership

POINT = Checkpoint(2, LogPosition(5, 1), clean=False, called_at=1_795_262_400.0)


class Claims(Protocol):
    """One partition of commands, empty and owned by nobody at first."""

    async def claim(self) -> Ownership:
        """One owner more, under the same group instance id, so that who had the partition has it no longer."""
        ...

    async def arrive(self, count: int) -> None:
        """So many commands more."""
        ...


Rule = Callable[[Claims], Awaitable[None]]


async def where_nobody_committed_the_first_owner_begins_and_trusts_nothing(claims: Claims) -> None:
    await claims.arrive(3)
    ownership = await claims.claim()
    point = await ownership.committed()
    assert (point.offset, point.mark, point.clean) == (await ownership.beginning(), LogPosition(0, 0), False)
    assert point.is_first


async def what_was_renewed_is_what_the_next_owner_finds(claims: Claims) -> None:
    await claims.arrive(3)
    first = await claims.claim()
    await first.renew(POINT)
    assert await first.committed() == POINT
    clean = POINT._replace(offset=3, clean=True, called_at=None)
    await first.renew(clean)
    assert await (await claims.claim()).committed() == clean


async def who_lost_the_partition_renews_nothing_and_knows_it_then(claims: Claims) -> None:
    await claims.arrive(3)
    old = await claims.claim()
    await old.renew(POINT)
    new = await claims.claim()
    with pytest.raises(NotOwnerError):
        await old.renew(POINT._replace(offset=3))
    assert not old.held
    assert new.held
    assert (await new.committed()).offset == POINT.offset


async def who_has_it_holds_it_for_as_long_as_it_renews(claims: Claims) -> None:
    ownership = await claims.claim()
    for offset in range(4):
        await claims.arrive(1)
        await ownership.renew(POINT._replace(offset=offset))
        assert ownership.held


async def its_end_is_that_of_the_commands(claims: Claims) -> None:
    ownership = await claims.claim()
    assert await ownership.end() == await ownership.beginning() == 0
    await claims.arrive(4)
    assert await ownership.end() == 4


RULES: Sequence[Rule] = (
    where_nobody_committed_the_first_owner_begins_and_trusts_nothing,
    what_was_renewed_is_what_the_next_owner_finds,
    who_lost_the_partition_renews_nothing_and_knows_it_then,
    who_has_it_holds_it_for_as_long_as_it_renews,
    its_end_is_that_of_the_commands,
)
