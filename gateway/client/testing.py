# ruff: noqa: SLF001 - the two halves of one fake
# pyright: reportPrivateUsage=false
"""A gateway in process, for the tests of strategy engines and risk caches: the same client, the same messages.

```python
fake = FakeGateway()
async with fake.client() as client:
    changed = await client.set_leverage(BinanceUsdm(symbol="BTCUSDT"), 20, account="desk-1")
    fake.reject("venue_rejected", "Leverage 20 is not valid")
    with pytest.raises(VenueRejected): ...
```

No Kafka, no venue and no clock of its own: commands are answered as they come, or when the test says so.
# ruff: noqa: SLF001, D102 - the two halves of one fake
# pyright: reportPrivateUsage=false
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

from msgspec import Struct

from gateway.client.feed import Appended, Current, FeedItem, Loading, LoggedEvent, Lost, Place, Rows
from gateway.client.gateway import Client
from gateway.client.lanes import LaneKey
from gateway.clock import Clock, SystemClock
from schemas import Event, LeverageChanged, LeverageRejected, Reason, SetLeverage, Timestamp
from schemas.events import fields_of_answer

TOPIC = "leverage.commands.v1"
BEAT = 0.1  # seconds between two words that nothing is missing


class PlannedRejection(Struct, frozen=True):
    """The answer that the next command of a kind gets instead of yes."""

    reason: Reason
    message: str
    retry_at: Timestamp | None = None


class FakeGateway:
    """Answers every command with `LeverageChanged`, unless told otherwise."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._log: list[Event] = []
        self._lanes: dict[LaneKey, LeverageChanged] = {}
        self._rejections: deque[PlannedRejection] = deque()
        self._held: deque[SetLeverage] | None = None
        self._lost_why: str | None = None
        self._moved = asyncio.Condition()
        self._listeners: list[Callable[[Event], None]] = []
        self.commands: list[SetLeverage] = []

    @property
    def events(self) -> list[Event]:
        """All events so far."""
        return list(self._log)

    def client(self) -> Client:
        """Return a client of this gateway; any number may be open."""
        return Client(_FakeTransport(self), clock=self._clock)

    def reject(self, reason: Reason, message: str = "as the test says", *, retry_at: Timestamp | None = None) -> None:
        """Answer the next command with a rejection."""
        self._rejections.append(PlannedRejection(reason, message, retry_at))

    def hold(self) -> None:
        """Answer nothing until `release`."""
        self._held = deque() if self._held is None else self._held

    async def release(self) -> None:
        """Answer what was held, the newest of each lane; older ones are superseded by it."""
        held, self._held = self._held or deque(), None
        newest = {(command.key, command.target.lane): command for command in held}
        for command in held:
            newer = newest[command.key, command.target.lane]
            await self._answer(command, superseded_by=None if newer is command else newer.command_id)

    async def change(self, event: LeverageChanged) -> None:
        """Let an event appear that no command of this test asked for."""
        await self._append(event)

    async def lose(self, why: str = "as the test says") -> None:
        """Let every client lose the log, until `recover`."""
        self._lost_why = why
        await self._wake()

    async def recover(self) -> None:
        """Let the log be followed again."""
        self._lost_why = None
        await self._wake()

    async def _take(self, command: SetLeverage) -> None:
        self.commands.append(command)
        if self._held is not None:
            self._held.append(command)
        else:
            await self._answer(command)

    async def _answer(self, command: SetLeverage, *, superseded_by: str | None = None) -> None:
        if superseded_by is not None:
            planned = PlannedRejection("superseded", "a newer command of the lane came before this one was sent")
        else:
            planned = self._rejections.popleft() if self._rejections else None
        offset = self.commands.index(command)
        about = fields_of_answer(
            command,
            event_id=f"{TOPIC}/0/{offset}",
            attempts=1 if planned is None else 0,
            occurred_at=Timestamp.from_epoch(self._clock.wall()),
        )
        if planned is None:
            leverage = command.leverage
            await self._append(
                LeverageChanged(**about, leverage=leverage, requested_leverage=leverage, certainty="confirmed")
            )
            return
        await self._append(
            LeverageRejected(
                **about,
                leverage=command.leverage,
                reason=planned.reason,
                message=planned.message,
                superseded_by=superseded_by,
                retry_at=planned.retry_at,
            )
        )

    async def _append(self, event: Event) -> None:
        self._log.append(event)
        if isinstance(event, LeverageChanged):
            self._lanes[LaneKey.of(event)] = event
        for listener in self._listeners:
            listener(event)
        await self._wake()

    async def _wake(self) -> None:
        async with self._moved:
            self._moved.notify_all()


class _FakeTransport:
    """One client's way to a `FakeGateway`."""

    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway
        self._on_event: Callable[[Event], None] | None = None

    async def start(self, on_event: Callable[[Event], None]) -> None:
        self._on_event = on_event
        self._gateway._listeners.append(on_event)

    async def stop(self) -> None:
        if self._on_event is not None:
            self._gateway._listeners.remove(self._on_event)

    async def publish(self, command: SetLeverage, *, wants_answer: bool) -> Place:
        del wants_answer
        if self._gateway._lost_why is not None:
            raise ConnectionError(self._gateway._lost_why)
        place = Place(0, len(self._gateway.commands))
        await self._gateway._take(command)
        return place

    async def follow(
        self, *, accounts: frozenset[str] | None, from_beginning: bool, with_state: bool
    ) -> AsyncGenerator[FeedItem]:
        gateway = self._gateway
        yield Loading("the beginning")
        position = 0 if from_beginning else len(gateway._log)
        if with_state:
            yield Rows([row for row in gateway._lanes.values() if accounts is None or row.account in accounts])
        while True:
            if gateway._lost_why is not None:
                yield Lost(gateway._lost_why)
            else:
                fresh = gateway._log[position:]
                logged = [LoggedEvent(0, position + index, event) for index, event in enumerate(fresh)]
                position += len(fresh)
                yield Appended([one for one in logged if accounts is None or one.event.account in accounts])
                yield Current()
            if position == len(gateway._log) or gateway._lost_why is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT), gateway._moved:
                        await gateway._moved.wait()
