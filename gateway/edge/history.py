"""What the events topic holds, in blocks of offsets: the newest as they come, older ones read once for all who ask.

Bounded by records: of the blocks that are not the newest, those that nobody asked for longest go first.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from gateway.edge.record import EventRow

BLOCK = 1024  # offsets
Load = Callable[[int, int, int], Awaitable[Sequence[EventRow]]]


class GoneError(Exception):
    """Raised where events are asked for that the topic does not keep any more."""


class Stretch(NamedTuple):
    """Some records of a partition, and the offset after all that was looked at."""

    records: Sequence[EventRow]
    end: int


class _Block:
    def __init__(self, records: Iterable[EventRow] = ()) -> None:
        self.records = list(records)
        self._by_account: dict[str, list[EventRow]] | None = None

    def append(self, record: EventRow) -> None:
        self.records.append(record)
        if self._by_account is not None:
            self._by_account.setdefault(record.face.account, []).append(record)

    def of(self, accounts: frozenset[str] | None) -> Sequence[EventRow]:
        """The records of some accounts, in order: five thousand readers of one account each look through it once."""
        if accounts is None:
            return self.records
        if self._by_account is None:
            self._by_account = {}
            for record in self.records:
                self._by_account.setdefault(record.face.account, []).append(record)
        found = [self._by_account[account] for account in accounts if account in self._by_account]
        return found[0] if len(found) == 1 else sorted((one for part in found for one in part), key=_offset)


class History:
    """The events of all partitions.

    Attributes:
        ends: by partition, the offset after all that was told to `append` or `move`.
        begins: by partition, the first offset that the topic still has, as far as is known.
    """

    def __init__(self, starts: Sequence[int], load: Load, *, most: int) -> None:
        """Take the offsets from which on records will be appended, each the first of a block or of the topic.

        Args:
            starts: those offsets.
            load: reads the records of a partition from an offset up to another; GoneError where they are gone.
            most: records to hold.
        """
        self.ends = list(starts)
        self.begins = [0] * len(starts)
        self._load = load
        self._most = most
        self._held = 0
        self._blocks: OrderedDict[tuple[int, int], _Block] = OrderedDict()
        self._loading: dict[tuple[int, int], asyncio.Task[_Block]] = {}
        for partition, start in enumerate(starts):
            self._blocks[partition, start // BLOCK] = _Block()

    def append(self, record: EventRow) -> None:
        """Take the next record of its partition."""
        self.move(record.partition, record.offset)
        self._blocks[record.partition, record.offset // BLOCK].append(record)
        self._held += 1
        self.move(record.partition, record.offset + 1)
        self._evict()

    def move(self, partition: int, offset: int) -> None:
        """Take note that there is nothing more before an offset."""
        for number in range(self.ends[partition] // BLOCK, offset // BLOCK):
            self._blocks.setdefault((partition, number + 1), _Block())
        self.ends[partition] = max(self.ends[partition], offset)

    def keeps(self, offsets: Sequence[int]) -> bool:
        """Whether nothing from these offsets on is known to be gone."""
        return all(offset >= begin for offset, begin in zip(offsets, self.begins, strict=True))

    async def read(self, partition: int, offset: int, accounts: frozenset[str] | None) -> Stretch:
        """Return what comes from an offset on, up to the end of its block or of the log; GoneError where it is gone."""
        number = offset // BLOCK
        block = await self._block(partition, number)
        end = min((number + 1) * BLOCK, self.ends[partition])
        return Stretch([record for record in block.of(accounts) if record.offset >= offset], end)

    async def _block(self, partition: int, number: int) -> _Block:
        place = partition, number
        block = self._blocks.get(place)
        if block is not None:
            self._blocks.move_to_end(place)
            return block
        loading = self._loading.get(place)
        if loading is None:
            loading = self._loading[place] = asyncio.create_task(self._read_block(partition, number))
            loading.add_done_callback(lambda _: self._loading.pop(place, None))
        return await asyncio.shield(loading)

    async def _read_block(self, partition: int, number: int) -> _Block:
        begin = max(number * BLOCK, self.begins[partition])
        end = min((number + 1) * BLOCK, self.ends[partition])
        block = self._blocks[partition, number] = _Block(await self._load(partition, begin, end))
        self._held += len(block.records)
        self._evict()
        return block

    def _evict(self) -> None:
        if self._held <= self._most:
            return
        newest = {(partition, end // BLOCK) for partition, end in enumerate(self.ends)}
        for place in [place for place in self._blocks if place not in newest]:
            self._held -= len(self._blocks.pop(place).records)
            if self._held <= self._most * 0.9:
                return


def _offset(record: EventRow) -> int:
    return record.offset
