"""A gateway in process, for the tests of strategy engines and risk caches: the same client, the same messages.

```python
fake = FakeGateway()
async with fake.client() as client:
    changed = await client.set_leverage(BinanceUsdm(symbol="BTCUSDT"), 20, account="desk-1")
    fake.reject("venue_rejected", "Leverage 20 is not valid")
    with pytest.raises(VenueRejected): ...
```

No Kafka, no venue and no clock of its own: commands are answered as they come, or when the test says so.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import contextmanager, suppress
from typing import Literal

from msgspec import Struct

from gateway.client.feed import Appended, Current, FeedItem, Loading, Logged, Lost, Rows
from gateway.client.gateway import Client
from gateway.client.lanes import LaneKey
from gateway.clock import Clock, SystemClock
from schemas import Certainty, Event, LeverageChanged, LeverageRejected, Reason, SetLeverage, Timestamp

TOPIC = "leverage.commands.v1"


class Refusal(Struct, frozen=True):
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
        self._refusals: deque[Refusal] = deque()
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
        self._refusals.append(Refusal(reason, message, retry_at))

    def hold(self) -> None:
        """Answer nothing until `release`."""
        self._held = self._held or deque()

    async def release(self) -> None:
        """Answer what was held, the newest of each lane; older ones are superseded by it."""
        held, self._held = self._held or deque(), None
        newest = {LaneKey(_venue(command), command.account, command.target.lane): command for command in held}
        for command in held:
            newer = newest[LaneKey(_venue(command), command.account, command.target.lane)]
            await self._settle(command, None if newer is command else newer.command_id)

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
