"""An edge on paper: a log in memory, instances that have read so far, and readers whose connections are lists."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.edge.filters import Filter
from gateway.edge.groups import Choice
from gateway.edge.history import History
from gateway.edge.hub import Hub
from gateway.edge.outlet import Outlet
from gateway.edge.position import Positions
from gateway.edge.record import EventRow, Face, _Target
from gateway.edge.subscription import Subscription
from gateway.edge.tokens import Rights
from gateway.edge.wire import JsonWire
from tests.kit.clocks import FakeClock

ALL = Rights(["*"])
PARTITIONS = 3


class Log:
    """The events topic: each partition a list with holes, as markers leave them."""

    def __init__(self) -> None:
        self.partitions: list[list[EventRow]] = [[] for _ in range(PARTITIONS)]
        self.ends = [0] * PARTITIONS
        self.reads = 0

    def append(self, partition: int, *, lane: int = 0, is_change: bool = True, account: str | None = None) -> EventRow:
        """Write an event, and a marker after every second one."""
        offset = self.ends[partition]
        kind = "LeverageChanged" if is_change else "LeverageRejected"
        about = {
            "type": kind,
            "event_id": f"c/{partition}/{offset}",
            "command_id": f"{partition}-{offset}",
            "account": account or f"desk-{partition}",
            "lane": f"L{lane}",
        }
        face = Face(**about, target=_Target("binance_usdm"))
        event = EventRow(face, msgspec.json.encode(about), partition=partition, offset=offset, at=0.0)
        self.partitions[partition].append(event)
        self.ends[partition] = offset + 1 + len(self.partitions[partition]) % 2
        return event

    async def load(self, partition: int, begin: int, end: int) -> list[EventRow]:
        """Read older events."""
        self.reads += 1
        await asyncio.sleep(0)
        return [one for one in self.partitions[partition] if begin <= one.offset < end]


class Instance:
    """One edge that has read the log so far."""

    def __init__(
        self,
        log: Log,
        *,
        start: int = 0,
        most: int = 10_000,
        log_id: bytes = b"log",
        monotonic: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.log = log
        self.timers: list[Any] = []
        self.hub = Hub(
            History([start] * PARTITIONS, log.load, most=most),
            Positions(log_id, PARTITIONS),
            lambda _seconds, call: self.timers.append(call),
            monotonic,
        )

    def read(self, most: int = 10**9) -> None:
        """Read some more of each partition."""
        for partition, events in enumerate(self.log.partitions):
            at = self.hub.history.ends[partition]
            part = [one for one in events if one.offset >= at][:most]
            whole = not part or part[-1] is events[-1]
            self.hub.take(partition, part, self.log.ends[partition] if whole else part[-1].offset + 1)
        self.hub.settle()

    def fire(self) -> None:
        """Let delays run out."""
        timers, self.timers = self.timers, []
        for call in timers:
            call()


class Wire:
    """A transport whose other side takes all, or nothing."""

    def __init__(self) -> None:
        self.data = b""
        self.is_stalled = False
        self.stalled = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        if self.is_stalled:
            self.stalled += data
        else:
            self.data += data

    def get_write_buffer_size(self) -> int:
        return len(self.stalled)

    def get_extra_info(self, _name: str) -> None:
        return None

    def is_closing(self) -> bool:
        return self.closed

    def go_on(self) -> None:
        """Take what was left unread."""
        self.is_stalled = False
        self.data += self.stalled
        self.stalled = b""


class Reader:
    """One connection with one subscription."""

    def __init__(
        self,
        instance: Instance,
        *,
        mode: str = "events",
        resume: str | None = None,
        rights: Rights = ALL,
        delay_ms: int = 0,
        max_unread_bytes: int = 10**6,
        **chosen: Any,
    ) -> None:
        self.given_up = 0
        self.wire = Wire()
        self.outlet = Outlet(
            self.wire,
            JsonWire(),
            FakeClock(),
            max_unread_bytes=max_unread_bytes,
            max_unread_seconds=10.0,
            give_up=self._give_up,
        )
        choice = Choice("s", mode, Filter.of(rights, **chosen), self.outlet.wire, rights, delay_ms)
        self.subscription = Subscription(choice, instance.hub, self.outlet, resume=resume)
        self.instance = instance

    def _give_up(self) -> None:
        self.given_up += 1
        self.outlet.close()

    async def run(self) -> "Reader":
        await asyncio.wait_for(self.subscription.run(), 10)
        return self

    def cut(self) -> None:
        """As where the connection breaks."""
        self.wire.closed = True
        self.subscription.leave()

    @property
    def frames(self) -> list[dict[str, Any]]:
        """What came so far."""
        return frames_of(self.wire.data)

    @property
    def events(self) -> list[str]:
        """The ids of the events that came."""
        return [frame["event"]["event_id"] for frame in self.frames if frame["type"] in {"event", "state"}]

    @property
    def position(self) -> str | None:
        """The last position that came."""
        return next((frame["position"] for frame in reversed(self.frames) if frame.get("position")), None)


def frames_of(data: bytes) -> list[dict[str, Any]]:
    """The frames in a server's bytes."""
    found = []
    while data:
        length, begin = data[1], 2
        if length >= 126:
            size = 2 if length == 126 else 8
            begin = 2 + size
            length = int.from_bytes(data[2:begin])
        found.append(msgspec.json.decode(data[begin : begin + length]))
        data = data[begin + length :]
    return found
