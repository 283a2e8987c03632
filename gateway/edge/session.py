"""One stream, over a WebSocket or as server-sent events: its subscriptions, heartbeats, commands, and its end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from aiokafka.errors import KafkaError

from gateway.clock import Clock
from gateway.edge.commands import CommandDesk, key_of
from gateway.edge.door import Door, DoorError
from gateway.edge.filters import Filter, ForbiddenAccountError
from gateway.edge.frames import (
    CommandFrame,
    ErrorFrame,
    EventFrame,
    Hello,
    Limits,
    Notice,
    Problem,
    Result,
    ServerFrame,
    Subscribe,
)
from gateway.edge.groups import Choice, Offsets
from gateway.edge.hub import CommandKey, Hub, NamedCommand
from gateway.edge.outlet import Outlet
from gateway.edge.subscription import Subscription
from gateway.edge.tokens import Token
from gateway.edge.wire import PONG, Wire, message
from gateway.settings.tree import EdgeSettings
from schemas import SetLeverage
from schemas.codec import ContentType

# 4000 to 4499: come back; 4500 to 4999: do not.
GOING_AWAY = 4000  # this instance stops
OTHER_LOG = 4001  # the topic was made anew
SLOW_READER = 4008
SILENT = 4009  # nothing was heard of the reader
TOKEN_GONE = 4501
MOST_REFS = 1_000  # commands of one stream under way
SILENCE = 120.0  # seconds without a word, not even the answer to a ping
ASK_AFTER = ASK_AGAIN = 20.0  # seconds without a word, after which it is pinged, and again


class Ending(Protocol):
    """How a connection is ended, after what was written to it."""

    def __call__(self, code: int, reason: str) -> None:
        """Begin to end it; it may be called more than once."""
        ...


class Session:
    """A stream's state.

    Attributes:
        token: whose it is.
        outlet: what is written to it.
        heard_at: when something was heard of it last, in monotonic seconds.
        ended_with: the code with which it was ended here.
    """

    def __init__(
        self,
        token: Token,
        hub: Hub,
        wire: Wire,
        transport: asyncio.Transport,
        *,
        settings: EdgeSettings,
        door: Door,
        desk: CommandDesk,
        clock: Clock,
        end: Ending,
    ) -> None:
        self.token = token
        self.hub = hub
        self._settings = settings
        self._door = door
        self._desk = desk
        self._clock = clock
        self._end = end
        self.ended_with: int | None = None
        self._subscriptions: dict[str, Subscription] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._refs: dict[CommandKey, str] = {}
        self._has_begun = asyncio.Event()
        self.heard_at = clock.monotonic()
        self._ask_at = self.heard_at + ASK_AFTER
        self._beat_at = self.heard_at
        self.outlet = Outlet(
            transport,
            wire,
            clock,
            max_unread_bytes=settings.max_unread_bytes,
            max_unread_seconds=settings.max_unread_seconds,
            give_up=self._give_up,
        )

    def write(self, frame: ServerFrame) -> None:
        """Write a frame."""
        self.outlet.write(self.outlet.wire.frame(frame))

    def greet(self) -> None:
        """Write the first frame."""
        settings = self._settings
        limits = Limits(
            max_frame_bytes=settings.max_frame_bytes,
            max_subscriptions=settings.max_subscriptions,
            max_rate_per_token=settings.max_rate_per_token,
            max_unread_bytes=settings.max_unread_bytes,
            max_unread_seconds=settings.max_unread_seconds,
        )
        self.write(Hello(limits=limits, heartbeat_seconds=settings.heartbeat))
        self._has_begun.set()

    def subscribe(self, ask: Subscribe) -> None:
        """Begin a subscription; DoorError where it is not to be."""
        self._door.check_verb(self.token, "read")
        if ask.id in self._subscriptions:
            raise DoorError(409, "taken", f"there is a subscription {ask.id!r} already; unsubscribe first")
        if len(self._subscriptions) >= self._settings.max_subscriptions:
            raise DoorError(429, "too_many", f"{self._settings.max_subscriptions} subscriptions are all there may be")
        rights = self.token.rights
        try:
            chosen = Filter.of(rights, venues=ask.venues, accounts=ask.accounts, lanes=ask.lanes, issuers=ask.issuers)
        except ForbiddenAccountError as error:
            raise DoorError(403, "forbidden", str(error)) from None
        choice = Choice(ask.id, ask.mode, chosen, self.outlet.wire, rights, ask.max_delay_ms or 0)
        subscription = Subscription(choice, self.hub, self.outlet, resume=ask.resume)
        self._subscriptions[ask.id] = subscription
        self._look_who_may_lag()
        self._tasks[ask.id] = asyncio.create_task(self._run(ask.id, subscription), name="subscription")

    def unsubscribe(self, name: str) -> None:
        """End a subscription; DoorError where there is none."""
        subscription = self._subscriptions.pop(name, None)
        if subscription is None:
            raise DoorError(404, "unknown", f"there is no subscription {name!r}")
        self._tasks.pop(name).cancel()
        subscription.leave()
        self._look_who_may_lag()

    async def _run(self, name: str, subscription: Subscription) -> None:
        await self._has_begun.wait()
        try:
            await subscription.run()
            self.beat()  # how old that is
        except (KafkaError, TimeoutError, OSError) as error:
            why = f"what was missed cannot be read now: {type(error).__name__}"
            self.write(ErrorFrame(id=name, code="unavailable", message=why))
            del self._subscriptions[name], self._tasks[name]
            self._look_who_may_lag()

    def _look_who_may_lag(self) -> None:
        self.outlet.may_lag = all(one.choice.mode == "state" for one in self._subscriptions.values())

    @property
    def stands(self) -> Offsets | None:
        """Up to where everything was told that was asked for; None where there is nothing yet to go on from."""
        least: Offsets | None = None
        for subscription in self._subscriptions.values():
            stands = subscription.stands
            if stands is None:
                return None
            least = stands if least is None else tuple(map(min, least, stands))
        return self.hub.offsets if least is None else least

    @property
    def position(self) -> str | None:
        """The same as a text."""
        stands = self.stands
        return None if stands is None else self.hub.positions.write(stands, self.token.rights.digest)

    @property
    def told_at(self) -> float:
        """Since when all that its subscriptions asked for has been silent, in monotonic seconds."""
        subscriptions = self._subscriptions.values()
        return max(self._beat_at, min([one.told_at for one in subscriptions], default=0.0))

    def beat(self) -> None:
        """Write a heartbeat, unless there is enough unread."""
        if not self.outlet.is_behind:
            self._beat()

    def answer(self, ping: bytes) -> None:
        """Answer a ping: its pong comes after a heartbeat, so whoever asked knows how old what it has is at most."""
        self._beat()
        self.outlet.write(message(PONG, ping))

    def _beat(self) -> None:
        self._beat_at = self._clock.monotonic()
        self.outlet.write(self.hub.heartbeat(self.outlet.wire, self.position))

    def warn(self, reason: str, seconds: float) -> None:
        """Tell the reader to go elsewhere."""
        self.write(Notice(reason=reason, reconnect_within_seconds=seconds))

    async def command(self, frame: CommandFrame, encoding: ContentType) -> None:
        """Take a command in; its result is written when Kafka has it, its event when it comes."""
        ref = frame.ref
        try:
            command = self._desk.check(self.token, bytes(frame.command), encoding)
            self._check_room()
            await self._hand_over(ref, command)
        except DoorError as error:
            self.write(Result(ref=ref, error=Problem(code=error.code, message=error.message)))

    def _check_room(self) -> None:
        if len(self._refs) + len(self._sending) >= MOST_REFS:
            raise DoorError(429, "too_many", f"{MOST_REFS} commands are under way; wait for their events")

    async def _hand_over(self, ref: str, command: SetLeverage) -> None:
        key = key_of(command)
        known = self._desk.answer(self.hub, command)
        result = _Result(lambda: self.write(Result(ref=ref, accepted=command.command_id)))
        if known is not None:
            result.write()
            self.write(EventFrame(ref=ref, event=self.outlet.wire.event(known.value)))
            return
        self._refs[key] = ref

        def told() -> None:
            result.write()
            self._refs.pop(key, None)

        self.hub.name(key, self.outlet, NamedCommand(ref, told))
        try:
            taken = await self._desk.hand_over(self.hub, self.token, command)
        except DoorError:
            self._forget(key)
            raise
        sending = asyncio.create_task(self._confirm(key, ref, taken, result))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    async def _confirm(self, key: CommandKey, ref: str, taken: Awaitable[None], result: "_Result") -> None:
        try:
            await taken
            result.write()
        except DoorError as error:
            self._forget(key)
            self.write(Result(ref=ref, error=Problem(code=error.code, message=error.message)))

    def _forget(self, key: CommandKey) -> None:
        self._refs.pop(key, None)
        self.hub.name_no_more(self.outlet, [key])

    def look(self, now: float) -> None:
        """End it where its reader is too slow, silent, or let in no more; ask whether a silent one is still there."""
        if not self.token.is_valid:
            self.end(TOKEN_GONE, "the token is not valid any more")
        if self.outlet.has_unread:
            self.outlet.look()
        if self.outlet.is_closed:
            self.end(GOING_AWAY, "")
        elif now >= self._ask_at and self.outlet.wire.ping:
            self._ask(now)

    def _ask(self, now: float) -> None:
        if now - self.heard_at > SILENCE:
            self.end(SILENT, "nothing was heard")
        elif now - self.heard_at >= ASK_AFTER and not self.outlet.is_behind:
            self.outlet.write(self.outlet.wire.ping)
        self._ask_at = now + ASK_AGAIN

    def end(self, code: int, reason: str) -> None:
        """Begin to end it."""
        if self.ended_with is None:
            self.ended_with = code
            self.outlet.close()
            self._end(code, reason)

    def _give_up(self) -> None:
        self.end(SLOW_READER, self.position or "")

    def leave(self) -> None:
        """Take everything back; the connection is gone."""
        self.outlet.close()
        for task in (*self._tasks.values(), *self._sending):
            task.cancel()
        for subscription in self._subscriptions.values():
            subscription.leave()
        self.hub.name_no_more(self.outlet, list(self._refs))
        self._subscriptions.clear()


class _Result:
    """A frame that is written once."""

    def __init__(self, write: Callable[[], None]) -> None:
        self._write: Callable[[], None] | None = write

    def write(self) -> None:
        """Write it, where it was not."""
        write, self._write = self._write, None
        if write is not None:
            write()
