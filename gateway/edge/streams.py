"""All open streams of an instance: how many there may be, their heartbeats and pings, and their end when it drains."""

import asyncio
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

from gateway.clock import Clock
from gateway.edge.door import DoorError
from gateway.edge.hub import Hub
from gateway.edge.session import GOING_AWAY, OTHER_LOG, SILENT, Session
from gateway.edge.tokens import Token
from gateway.edge.wire import PING, SseWire, message

TURNS = 10  # parts of a heartbeat's time, in each of which as many streams have their turn
BEHIND = 0.75  # seconds behind the log, from which on every stream is told
LOOK, LOOK_AGAIN = 0.05, 1.0  # seconds between two looks whether it is, and after it was told
PAY = 0.02  # seconds between two looks at who reads again
PING_EVERY = 20.0
SILENCE = 120.0  # seconds without a word, not even the answer to a ping
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
        self._is_empty.clear()

    def leave(self, session: Session) -> None:
        """Look after it no more."""
        self.sessions.pop(session, None)
        if session.ended_with is not None:
            self._observer.ended(session.ended_with)
        if not self.sessions:
            self._is_empty.set()

    async def beat(self) -> None:
        """Give every stream its heartbeat in turn, for ever, and end those that are to be ended."""
        turn, ping_at = 0, self._clock.monotonic() + PING_EVERY
        while True:
            await asyncio.sleep(self._heartbeat / TURNS)
            hub = self._hub()
            if hub is not None:
                hub.groups.flush()
            for session in list(self.sessions)[turn::TURNS]:
                session.beat()
            for session in list(self.sessions):
                session.look()
            turn = (turn + 1) % TURNS
            if self._clock.monotonic() >= ping_at:
                ping_at += PING_EVERY
                self._ping()

    async def tell_lag(self) -> None:
        """Give every stream a heartbeat at once where the log cannot be followed, and where it is again; for ever."""
        is_told = False
        while True:
            await asyncio.sleep(LOOK)
            hub = self._hub()
            if hub is not None and (hub.lag() > BEHIND) != is_told:
                is_told = not is_told
                for session in list(self.sessions):
                    session.beat()
                await asyncio.sleep(LOOK_AGAIN)

    async def pay(self) -> None:
        """Give those who read again what they are owed, for ever."""
        while True:
            await asyncio.sleep(PAY)
            hub = self._hub()
            if hub is not None:
                hub.groups.pay()

    def _ping(self) -> None:
        ping, now = message(PING, b""), self._clock.monotonic()
        for session in list(self.sessions):
            if isinstance(session.outlet.wire, SseWire):
                continue
            if now - session.heard_at > SILENCE:
                session.end(SILENT, "nothing was heard")
            elif not session.outlet.is_behind:
                session.outlet.write(ping)

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
