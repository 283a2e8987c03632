"""The client: typed commands that return their event or raise a rejection, all events, and a cache of what is.

One interface over Kafka and over the edge's WebSocket: `connect` picks the transport by the address.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Self

from gateway.client.cache import LeverageCache
from gateway.client.feed import Appended, Loading, Transport
from gateway.client.ids import CommandIds
from gateway.client.rejections import rejection
from gateway.clock import Clock, SystemClock
from schemas import Event, LeverageChanged, SetLeverage, Target, Timestamp, decode_command, encode

REMEMBERED_EVENTS = 100_000  # events given to this client, for `cache.at_least`
DEFAULT_TIMEOUT = 60.0  # seconds


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
            TimeoutError: no answer in time. The command is with the gateway all the same, or may be: with the same
                `command_id` it can be sent again and is carried out once.
            ValueError: it would be no command; nothing was sent.
        """
        command = self._command(
            target, leverage, account=account, issuer=issuer, expires_in=expires_in, command_id=command_id
        )
        waiting = self._waiting.setdefault(command.command_id, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(timeout):
                await self._transport.publish(command, wants_answer=True)
                event = await asyncio.shield(waiting)
        finally:
            if self._waiting.get(command.command_id) is waiting:
                del self._waiting[command.command_id]
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
    ) -> SetLeverage:
        """Hand a command over and return it when it is taken, which says nothing of the venue; raises as above."""
        command = self._command(
            target, leverage, account=account, issuer=issuer, expires_in=expires_in, command_id=command_id
        )
        async with asyncio.timeout(timeout):
            await self._transport.publish(command, wants_answer=False)
        return command

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
        amount = leverage if isinstance(leverage, Decimal) else Decimal(leverage)
        if not amount.is_finite():
            raise ValueError(f"leverage is a decimal number, not {leverage}")
        command = SetLeverage(
            command_id=command_id or self._ids(),
            account=account,
            leverage=amount,
            target=target,
            issued_at=now,
            expires_at=None if expires_in is None else Timestamp.of(now + timedelta(seconds=expires_in)),
            issuer=issuer,
        )
        decode_command(encode(command))  # Structs check what they read, not what they are made of
        return command


class LostEventsError(Exception):
    """Raised where events between the last one told and the next one are not kept any more."""
