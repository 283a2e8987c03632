"""What a transport tells of the log of events, in order: the same over Kafka, over the edge and in a test.

```
Loading ─▶ Rows … ─▶ Appended … ─▶ Current ─▶ Appended | Current | Lost …
   ▲                                               │
   └────────── the log went away under it ─────────┘
```

`Rows` are the state topic's, so later `Appended` events may repeat or precede them: only from the first `Current` on do
both together say what is.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol

from msgspec import Struct

from gateway.client.lanes import LaneKey
from schemas import Event, LeverageChanged, SetLeverage


class Loading(Struct, frozen=True):
    """All that was told before is void; it is told anew, from the state on."""

    why: str


class Rows(Struct, frozen=True):
    """Some lanes' last events, while loading; `gone`: lanes that were taken out of the state."""

    rows: Sequence[LeverageChanged]
    gone: Sequence[LaneKey] = ()


class LoggedEvent(Struct, frozen=True):
    """An event and where it stands in the events topic."""

    partition: int
    offset: int
    event: Event


class Appended(Struct, frozen=True):
    """Events that come next in the log, each partition in order."""

    events: Sequence[LoggedEvent]


class Current(Struct, frozen=True):
    """Everything that was committed until `age` seconds ago has been told."""

    age: float = 0.0


class Lost(Struct, frozen=True):
    """The log cannot be followed now; what was told may be old."""

    why: str


class Place(Struct, frozen=True):
    """Where a command stands in the commands topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"partition {self.partition}, offset {self.offset}"


FeedItem = Loading | Rows | Appended | Current | Lost


class Transport(Protocol):
    """How a client reaches the gateway."""

    async def start(self, on_event: Callable[[Event], None]) -> None:
        """Connect, in bounded time; `on_event` is told the answers of commands published with `wants_answer`."""
        ...

    async def stop(self) -> None:
        """Disconnect, in bounded time."""
        ...

    async def publish(self, command: SetLeverage, *, wants_answer: bool) -> Place | None:
        """Hand a command over; returns when it is taken, and where it stands if that is known.

        Raises where it is not known to be taken.
        """
        ...

    def follow(
        self, *, accounts: frozenset[str] | None, from_beginning: bool, with_state: bool
    ) -> AsyncGenerator[FeedItem]:
        """Follow the log until the caller stops; `accounts` None means all that this client may see.

        `with_state` loads the state topic first; `from_beginning` starts with the oldest event there is, else the
        events are those from now on.
        """
        ...
