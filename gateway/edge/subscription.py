"""One subscription: a snapshot or what was missed, then what comes, with no gap and no double between them.

```
asked ──▶ snapshot pages ──▶ catch-up through the history ──▶ live
  └── resume: ahead of us? wait ──────▲     └── gone meanwhile: a new snapshot
```
"""

import asyncio
from collections.abc import Iterator, Sequence
from operator import lt

from gateway.edge.frames import EventFrame, Live, Snapshot
from gateway.edge.groups import Choice, Group, Lane, Offsets, state_frames
from gateway.edge.history import GoneError
from gateway.edge.hub import Hub
from gateway.edge.outlet import Outlet
from gateway.edge.record import EventRow

BEGINNING = "beginning"  # in place of a position: from the oldest event there is
PAGE_BYTES = 128 * 1024
PAGE_ROWS = 500
AHEAD_PATIENCE = 10.0  # seconds in which an instance that is behind another comes up to it
LOOK_AGAIN = 0.02
SLICE = 500  # events between two turns of the loop


class Subscription:
    """From asking to leaving."""

    def __init__(self, choice: Choice, hub: Hub, outlet: Outlet, *, resume: str | None) -> None:
        self.choice = choice
        self._hub = hub
        self._outlet = outlet
        self._resume = resume
        self._offsets: list[int] | None = None  # up to where it has been told, until it is live
        self._group: Group | None = None

    @property
    def stands(self) -> Offsets | None:
        """Up to where the reader has been told everything; None where it has nothing yet to go on from."""
        if self._group is not None:
            return self._group.stands(self._group.members[self._outlet])
        return None if self._offsets is None else tuple(self._offsets)

    @property
    def told_at(self) -> float:
        """When the reader was told last where it stands, in monotonic seconds; 0 where nobody knows."""
        if self._group is None or self._group.members[self._outlet].owed:
            return 0.0
        return self._group.told_at

    async def run(self) -> None:
        """Bring the reader to where everything comes live, and return."""
        start = await self._resumed()
        is_resumed = start is not None
        while True:
            self._offsets = list(start) if start is not None else await self._snapshot()
            try:
                await self._catch_up(self._offsets)
            except GoneError:
                start, is_resumed, self._offsets = None, False, None
                continue
            break
        self._go_live(is_resumed=is_resumed)

    def leave(self) -> None:
        """Give the reader nothing more."""
        if self._group is not None:
            self._hub.groups.leave(self._group, self._outlet)

    def _go_live(self, *, is_resumed: bool) -> None:
        """Join at the very offsets that were told; nothing is awaited between the last look at them and this."""
        self._group = self._hub.groups.join(self.choice, self._outlet)
        position = self._hub.position(self.choice.rights)
        self._outlet.write(self.choice.wire.frame(Live(id=self.choice.id, position=position, resumed=is_resumed)))

    async def _resumed(self) -> Offsets | None:
        """The offsets to go on from; None where that cannot be without a gap."""
        if self._resume is None:
            return None
        if self._resume == BEGINNING:
            return tuple(self._hub.history.begins)
        offsets = self._hub.positions.read(self._resume, self.choice.rights.digest)
        if offsets is None or not self._hub.history.keeps(offsets):
            return None
        try:
            async with asyncio.timeout(AHEAD_PATIENCE):
                while any(map(lt, self._hub.offsets, offsets)):  # noqa: ASYNC110 - nobody tells of every step
                    await asyncio.sleep(LOOK_AGAIN)
        except TimeoutError:
            return None
        return offsets

    async def _snapshot(self) -> list[int]:
        """Write all lanes, and return the offsets that they are of."""
        offsets = list(self._hub.offsets)
        rows = self._hub.snapshot(self.choice.filter, self.choice.rights)
        wire = self.choice.wire
        for page, more in _pages(rows):
            frame = Snapshot(id=self.choice.id, lanes=[wire.event(row.value) for row in page], more=more)
            self._outlet.write(wire.frame(frame))
            await self._outlet.drained()
        return offsets

    async def _catch_up(self, offsets: list[int]) -> None:
        """Tell what comes after the offsets, up to where the hub stands, and move them there."""
        if self.choice.mode == "events":
            await self._tell_missed(offsets)
        else:
            await self._pay_missed(offsets)

    async def _tell_missed(self, offsets: list[int]) -> None:
        while behind := self._behind(offsets):
            for partition in behind:
                records, end = await self._missed(partition, offsets[partition])
                await self._tell(records, offsets)
                offsets[partition] = end

    async def _pay_missed(self, offsets: list[int]) -> None:
        while self._behind(offsets):
            reached, owed = list(offsets), dict[Lane, EventRow]()
            while behind := self._behind(reached):
                for partition in behind:
                    records, reached[partition] = await self._missed(partition, reached[partition])
                    owed.update({record.lane: record for record in records if record.is_change})
            await self._pay(list(owed.values()), tuple(offsets), tuple(reached))
            offsets[:] = reached

    def _behind(self, offsets: list[int]) -> list[int]:
        return [partition for partition, end in enumerate(self._hub.history.ends) if offsets[partition] < end]

    async def _missed(self, partition: int, offset: int) -> tuple[list[EventRow], int]:
        """What is for the reader in the next stretch of a partition, and where that ends."""
        stretch = await self._hub.history.read(partition, offset, self.choice.filter.accounts)
        await asyncio.sleep(0)
        return [record for record in stretch.records if self._is_for_it(record)], stretch.end

    def _is_for_it(self, record: EventRow) -> bool:
        return self.choice.rights.allow(record.face.account) and self.choice.filter.takes(record.face)

    async def _tell(self, records: Sequence[EventRow], offsets: list[int]) -> None:
        wire, rights = self.choice.wire, self.choice.rights
        for begin in range(0, len(records), SLICE):
            frames: list[bytes] = []
            for record in records[begin : begin + SLICE]:
                offsets[record.partition] = record.offset + 1
                position = self._hub.positions.write(offsets, rights.digest)
                event = wire.event(record.value)
                frames.append(wire.frame(EventFrame(id=self.choice.id, event=event, position=position)))
            self._outlet.write(b"".join(frames))
            await self._outlet.drained()

    async def _pay(self, records: Sequence[EventRow], stood: Offsets, stands: Offsets) -> None:
        for begin in range(0, len(records), SLICE):
            part = records[begin : begin + SLICE]
            after = stands if begin + SLICE >= len(records) else stood
            self._outlet.write(state_frames(self.choice, self._hub.positions, part, stood, after))
            await self._outlet.drained()


def _pages(rows: Sequence[EventRow]) -> Iterator[tuple[Sequence[EventRow], bool]]:
    """Rows by the page, and whether another comes; one page at least."""
    begin = size = 0
    for index, row in enumerate(rows):
        size += len(row.value)
        if index + 1 < len(rows) and (size >= PAGE_BYTES or index + 1 - begin >= PAGE_ROWS):
            yield rows[begin : index + 1], True
            begin, size = index + 1, 0
    yield rows[begin:], False
