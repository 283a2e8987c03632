"""All open streams of an instance: how many there may be, their heartbeats, and their end when it drains.

A connection has no timer of its own: those that are to be looked at at the same moment stand in one slot of a wheel.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

from gateway.clock import Clock
from gateway.edge.door import DoorError
from gateway.edge.hub import Hub
from gateway.edge.session import GOING_AWAY, OTHER_LOG, Session
from gateway.edge.tokens import Token

SLOTS = 25  # of the wheel
ROUND = 5.0  # seconds in which every stream is looked at, or as often as heartbeats come
BEHIND = 0.75  # seconds behind the log, from which on every stream is told
LAG_EVERY, LAG_AGAIN = 0.05, 1.0  # seconds between two looks whether it is at least, and after it was told
STREAMS_LEAVE = 0.8  # of the time told, after which those that are still there are closed


class StreamsObserver(Protocol):
    """Who is told of streams."""

    def ended(self, code: int) -> None:
        """One was ended here."""
        ...


class Streams:
    """Looks after every session.

    Attributes:
        sessions: those that are open.
    """

    def __init__(
        self,
        *,
        heartbeat: float,
        most_per_token: int,
        hub: Callable[[], Hub | None],
        clock: Clock,
        observer: StreamsObserver,
    ) -> None:
        self.sessions: dict[Session, None] = {}
        self._heartbeat = heartbeat
        self._most_per_token = most_per_token
        self._hub = hub
        self._clock = clock
        self._observer = observer
        self._wheel: list[list[Session]] = [[] for _ in range(SLOTS)]
        self._slot = 0
        self._held: Counter[str] = Counter()
        self._is_draining = False
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    @contextmanager
    def place(self, token: Token) -> Generator[None]:
        """A place for one more stream of a token; DoorError where there is none."""
        if self._is_draining:
            raise DoorError(
                503, "draining", "this instance goes away; connect to another", headers={"Retry-After": "1"}
            )
        if self._held[token.name] >= self._most_per_token:
            raise DoorError(429, "too_many", f"the token has {self._most_per_token} streams open; close one first")
        self._held[token.name] += 1
        try:
            yield
        finally:
            self._held[token.name] -= 1

    def begin(self, session: Session) -> None:
        """Look after a session from now on."""
        self.sessions[session] = None
        self._wheel[self._slot].append(session)
        self._is_empty.clear()

    def leave(self, session: Session) -> None:
        """Look after it no more."""
        self.sessions.pop(session, None)
        if session.ended_with is not None:
            self._observer.ended(session.ended_with)
        if not self.sessions:
            self._is_empty.set()

    async def beat(self) -> None:
        """Look after every stream, for ever."""
        while True:
            await asyncio.sleep(self.slot_lasts)
            self.turn()

    @property
    def slot_lasts(self) -> float:
        """Seconds between two turns of the wheel."""
        return min(self._heartbeat, ROUND) / SLOTS

    def turn(self) -> None:
        """Look after those of the next slot: end who is to be ended, and tell who was told nothing for long."""
        self._slot = (self._slot + 1) % SLOTS
        due, self._wheel[self._slot] = self._wheel[self._slot], []
        now = self._clock.monotonic()
        for session in due:
            if session in self.sessions:
                session.look(now)
                self._wheel[(self._slot + self._slots(session, now)) % SLOTS].append(session)

    def _slots(self, session: Session, now: float) -> int:
        """After how many turns to look again; who was told nothing for long is told now."""
        slots = round((session.told_at + self._heartbeat - now) / self.slot_lasts)
        if slots <= 0:
            session.beat()
            slots = SLOTS
        return 1 if session.outlet.has_unread else min(slots, SLOTS)

    async def tell_lag(self) -> None:
        """Give every stream a heartbeat at once where the log cannot be followed, and where it is again; for ever."""
        is_told = False
        while True:
            hub = self._hub()
            until = 0.0 if hub is None or is_told else BEHIND - hub.lag()  # before then it is not behind
            await asyncio.sleep(max(LAG_EVERY, until))
            hub = self._hub()
            if hub is not None and (hub.lag() > BEHIND) != is_told:
                is_told = not is_told
                for session in list(self.sessions):
                    session.beat()
                await asyncio.sleep(LAG_AGAIN)

    def end_all_of(self, hub: Hub) -> None:
        """End the streams of a log that is not followed any more."""
        for session in list(self.sessions):
            if session.hub is hub:
                session.end(OTHER_LOG, "the log is read anew; come back")

    async def drain(self, seconds: float) -> None:
        """Tell every reader to go elsewhere, and end those who are still there when the time is nearly up."""
        self._is_draining = True
        for session in list(self.sessions):
            session.warn("this instance stops", seconds)
        try:
            async with asyncio.timeout(seconds * STREAMS_LEAVE):
                await self._is_empty.wait()
        except TimeoutError:
            for session in list(self.sessions):
                session.end(GOING_AWAY, "this instance stops; come back")
            try:
                async with asyncio.timeout(seconds * (1 - STREAMS_LEAVE)):
                    await self._is_empty.wait()
            except TimeoutError:
                pass
