"""The client: typed commands that return their event or raise a rejection, all events, and a cache of what is.

One interface over Kafka and over the edge's WebSocket: `connect` picks the transport by the address.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Self

from msgspec import Struct

from gateway.client.cache import LeverageCache
from gateway.client.feed import Appended, Loading, Place, Transport
from gateway.client.ids import CommandIds
from gateway.client.rejections import rejection
from gateway.clock import Clock, SystemClock
from schemas import Event, LeverageChanged, SetLeverage, Target, Timestamp, decode_command, encode

REMEMBERED_EVENTS = 100_000  # events given to this client, for `cache.at_least`
DEFAULT_TIMEOUT = 60.0  # seconds


class SentCommand(Struct, frozen=True):
    """A command that is taken; `place` is None where the transport does not tell it."""

    command: SetLeverage
    place: Place | None


class UnconfirmedError(TimeoutError):
    """Raised where it was not confirmed in time that a command is taken: it may be, or get so yet, or never.

    To be sure of one answer, send it again with the same `command_id`: however often it arrives, it is answered once.

    Attributes:
        command: what was to be sent.
    """

    def __init__(self, command: SetLeverage, seconds: float) -> None:
        super().__init__(
            f"Kafka did not confirm {command.command_id} within {seconds:g} s; it may have it all the same"
        )
        self.command = command


class UnansweredError(TimeoutError):
    """Raised where a command that is taken was not answered in time; the gateway has it all the same.

    Attributes:
        sent: what was sent.
    """

    def __init__(self, sent: SentCommand, seconds: float) -> None:
        where = "" if sent.place is None else f" ({sent.place})"
        super().__init__(f"no answer to {sent.command.command_id}{where} within {seconds:g} s")
        self.sent = sent


class Client:
    """A connection to the gateway; use it with `async with`."""

    def __init__(self, transport: Transport, *, clock: Clock | None = None) -> None:
        self._transport = transport
        self._clock = clock or SystemClock()
        self._ids = CommandIds(self._clock.wall)
        self._waiting: dict[str, asyncio.Future[Event]] = {}
        self._given: OrderedDict[str, int] = OrderedDict()
        self._given_count = 0
        self._caches: list[LeverageCache] = []

    async def __aenter__(self) -> Self:
        await self._transport.start(self._answered)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the caches, give up on answers that are waited for, and disconnect."""
        for cache in self._caches:
            await cache.close()
        for waiting in self._waiting.values():
            waiting.cancel()
        await self._transport.stop()

    async def set_leverage(
        self,
        target: Target,
        leverage: Decimal | int | str,
        *,
        account: str,
        issuer: str | None = None,
        expires_in: float | None = None,
        timeout: float = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - the contract's own name
        command_id: str | None = None,
    ) -> LeverageChanged:
        """Ask for a leverage and return the event that says it is set.

        Args:
            target: what it is set for.
            leverage: how much.
            account: the gateway's name of it.
            issuer: who asks.
            expires_in: seconds after which it must not be sent any more.
            timeout: seconds to wait for the answer.
            command_id: the idempotency key; a new one without it.

        Raises:
            Rejected: the answer is no; a subclass for each reason.
            UnansweredError, UnconfirmedError: no answer in time, and for the second no word that it was taken: both a
                TimeoutError. With the same `command_id` it can be sent again and is carried out once.
            ValueError: it would be no command; nothing was sent.
        """
        command = self._command(
            target, leverage, account=account, issuer=issuer, expires_in=expires_in, command_id=command_id
        )
        deadline = asyncio.get_running_loop().time() + timeout
        waiting = self._expect(command)
        try:
            sent = await self._hand_over(command, timeout, wants_answer=True)
            event = await _answer_by(deadline, waiting, UnansweredError(sent, timeout))
        finally:
            self._forget(command, waiting)
        if isinstance(event, LeverageChanged):
            return event
        raise rejection(event)

    async def submit(
        self,
        target: Target,
        leverage: Decimal | int | str,
        *,
        account: str,
        issuer: str | None = None,
        expires_in: float | None = None,
        timeout: float = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - the contract's own name
        command_id: str | None = None,
        wants_answer: bool = False,
    ) -> SentCommand:
        """Hand a command over and return it when it is taken, which says nothing of the venue.

        With `wants_answer` its event can be waited for by `answer`.

        Raises:
            UnconfirmedError: it is not known whether it was taken.
            ValueError: it would be no command; nothing was sent.
        """
        command = self._command(
            target, leverage, account=account, issuer=issuer, expires_in=expires_in, command_id=command_id
        )
        return await self.publish(command, timeout=timeout, wants_answer=wants_answer)

    async def publish(
        self,
        command: SetLeverage,
        *,
        timeout: float = DEFAULT_TIMEOUT,  # noqa: ASYNC109 - as above
        wants_answer: bool = False,
    ) -> SentCommand:
        """Hand a command over that was made elsewhere; as `submit` else."""
        _check(command)
        if not wants_answer:
            return await self._hand_over(command, timeout, wants_answer=False)
        waiting = self._expect(command)
        try:
            return await self._hand_over(command, timeout, wants_answer=True)
        except BaseException:
            self._forget(command, waiting)
            raise

    async def answer(self, sent: SentCommand, *, timeout: float = DEFAULT_TIMEOUT) -> Event:  # noqa: ASYNC109 - as above
        """Wait for the event of a command handed over with `wants_answer`; UnansweredError after `timeout` seconds."""
        waiting = self._expect(sent.command)
        try:
            deadline = asyncio.get_running_loop().time() + timeout
            return await _answer_by(deadline, waiting, UnansweredError(sent, timeout))
        finally:
            self._forget(sent.command, waiting)

    async def _hand_over(self, command: SetLeverage, seconds: float, *, wants_answer: bool) -> SentCommand:
        try:
            async with asyncio.timeout(seconds):
                return SentCommand(command, await self._transport.publish(command, wants_answer=wants_answer))
        except TimeoutError:
            raise UnconfirmedError(command, seconds) from None

    def _expect(self, command: SetLeverage) -> "asyncio.Future[Event]":
        return self._waiting.setdefault(command.command_id, asyncio.get_running_loop().create_future())

    def _forget(self, command: SetLeverage, waiting: "asyncio.Future[Event]") -> None:
        if self._waiting.get(command.command_id) is waiting:
            del self._waiting[command.command_id]

    async def events(
        self, *, accounts: Iterable[str] | None = None, from_beginning: bool = False
    ) -> AsyncGenerator[Event]:
        """Follow all events, in order by lane, until the caller stops.

        Where the log goes away (retention, a topic made anew) it goes on with what there is; `LostEventsError` is
        raised where events in between are gone.
        """
        chosen = None if accounts is None else frozenset(accounts)
        began = False
        feed = self._transport.follow(accounts=chosen, from_beginning=from_beginning, with_state=False)
        async for item in feed:
            if isinstance(item, Loading):
                if began:
                    raise LostEventsError(item.why)
                began = True
            elif isinstance(item, Appended):
                for logged in item.events:
                    self._give(logged.event)
                    yield logged.event

    async def cache(self, *, accounts: Iterable[str] | None = None) -> LeverageCache:
        """Start a cache of every lane's leverage; `await cache.ready()` before reading it."""
        chosen = None if accounts is None else frozenset(accounts)
        feed = self._transport.follow(accounts=chosen, from_beginning=False, with_state=True)
        cache = LeverageCache(feed, clock=self._clock, given=self._given, given_before=self._given_count)
        self._caches.append(cache)
        return cache

    def _answered(self, event: Event) -> None:
        waiting = self._waiting.get(event.command_id)
        if waiting is None:
            return
        self._give(event)
        if not waiting.done():
            waiting.set_result(event)

    def _give(self, event: Event) -> None:
        self._given_count += 1
        self._given.setdefault(event.event_id, self._given_count)
        if len(self._given) > REMEMBERED_EVENTS:
            self._given.popitem(last=False)

    def _command(
        self,
        target: Target,
        leverage: Decimal | int | str,
        *,
        account: str,
        issuer: str | None,
        expires_in: float | None,
        command_id: str | None,
    ) -> SetLeverage:
        now = Timestamp.from_epoch(self._clock.wall())
        command = SetLeverage(
            command_id=command_id or self._ids(),
            account=account,
            leverage=leverage if isinstance(leverage, Decimal) else Decimal(leverage),
            target=target,
            issued_at=now,
            expires_at=None if expires_in is None else Timestamp.of(now + timedelta(seconds=expires_in)),
            issuer=issuer,
        )
        _check(command)
        return command


def _check(command: SetLeverage) -> None:
    """ValueError where it would be no command: Structs check what they read, not what they are made of."""
    if not command.leverage.is_finite():
        raise ValueError(f"leverage is a decimal number, not {command.leverage}")
    decode_command(encode(command))


async def _answer_by(deadline: float, waiting: "asyncio.Future[Event]", late: UnansweredError) -> Event:
    try:
        async with asyncio.timeout_at(deadline):
            return await asyncio.shield(waiting)
    except TimeoutError:
        raise late from None


class LostEventsError(Exception):
    """Raised where events between the last one told and the next one are not kept any more."""
