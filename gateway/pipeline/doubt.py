"""Commands that may have been applied and nobody knows: what the venue has is read back, when that can settle it.

`execute` asks here after a call of unknown outcome, and before it answers what a predecessor may have sent.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from gateway.calls.venue_caller import CallPermit, VenueCaller
from gateway.clock import Clock
from gateway.limits.permits import LimitFrozenError, LimitLoweredError
from gateway.outcomes import Ambiguous, Applied, Outcome, Refusal, Unavailable
from gateway.pipeline.command import Command
from gateway.pipeline.lanes import Lane
from gateway.pipeline.observer import Observer
from gateway.venues.credentials import Credentials
from gateway.venues.venue import Call
from schemas import VenueName

NO_LEASE_PAUSE = 0.1  # seconds until it is looked at again whether the lease was renewed


class Accounts(Protocol):
    """Whose keys sign."""

    def credentials(self, venue: VenueName, account: str) -> Credentials | Refusal:
        """The account's keys, or why it is stopped at this venue."""
        ...


class Doubts:
    """Clears up what became of the commands of one partition."""

    def __init__(
        self, *, accounts: Accounts, clock: Clock, may_read: Callable[[float], bool], observer: Observer
    ) -> None:
        """`may_read(timeout)`: whether a call that may take so many seconds can start now."""
        self._accounts = accounts
        self._clock = clock
        self._may_read = may_read
        self._observer = observer

    async def read_back(self, lane: Lane, incoming: Command, calls: VenueCaller) -> Applied | Unavailable | None:
        """What reading the venue's value settles: it was applied, it was not; None where that stays open."""
        conclusive = lane.not_before <= self._clock.monotonic()  # else it may come true after the venue was asked
        found = await self._look(incoming, calls)
        if found is None or not (conclusive or found.leverage == incoming.leverage):
            return None
        return found if _clear_doubt(incoming, found) else _not_applied(found)

    async def look_when_settled(self, lane: Lane, incoming: Command, calls: VenueCaller) -> Applied | None:
        """What the venue has when nothing can be under way any more; None where it does not tell."""
        await asyncio.sleep(lane.not_before - self._clock.monotonic())
        return await self._look(incoming, calls)

    async def _look(self, incoming: Command, calls: VenueCaller) -> Applied | None:
        command = incoming.command
        credentials = self._accounts.credentials(incoming.venue, command.account)
        if isinstance(credentials, Refusal):
            return None
        try:
            call = calls.venue.read_back(command)
            if call is None:
                return None
            found = await self._call(incoming, calls, call, credentials)
        except (TimeoutError, LimitLoweredError):
            return None
        except Exception as error:  # noqa: BLE001 - a bug must not take the other lanes down
            self._observer.failed(incoming, error)
            return None
        return found if isinstance(found, Applied) else None

    async def _call(
        self, incoming: Command, calls: VenueCaller, call: Call, credentials: Credentials
    ) -> Outcome | None:
        command, call_timeout = incoming.command, calls.settings.call_timeout
        async with asyncio.timeout(max(call_timeout, incoming.deadline - self._clock.monotonic())):
            turn = await self._turn(command.account, call, calls)
        return await calls.send(
            turn,
            command.account,
            call,
            credentials,
            lambda answer: calls.venue.classify_read_back(command, answer),
            may_send=lambda: self._may_read(call_timeout),
        )

    async def _turn(self, account: str, call: Call, calls: VenueCaller) -> CallPermit:
        while True:
            try:
                turn = await calls.turn(account, call)
            except LimitFrozenError:
                continue
            if self._may_read(calls.settings.call_timeout):
                return turn
            turn.give_back()
            await asyncio.sleep(NO_LEASE_PAUSE)


def cleared(incoming: Command, result: Outcome | Refusal, found: Applied) -> Outcome | Refusal:
    """The result of a command's attempts, now that it is known what the venue has."""
    if _clear_doubt(incoming, found):
        return found
    return _not_applied(found) if isinstance(result, Ambiguous) else result


def _clear_doubt(incoming: Command, found: Applied) -> bool:
    """Whether the venue has the command's value; either way it is known now."""
    incoming.doubtful = False
    return found.leverage == incoming.leverage


def _not_applied(found: Applied) -> Unavailable:
    return Unavailable(message=f"not applied: the venue has {found.leverage}")
