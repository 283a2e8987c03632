"""Every lane's leverage, loaded from the state topic and followed: a mapping that says how old it may be.

```
loading ─▶ ready ◀─▶ stale
   └──────────┴────────┴──▶ closed
```

`ready`: all that was committed when loading began is in, known by position and never by a record seen (the topic is
compacted and transactional: the last record may be gone). `stale`: the log could not be heard for `STALE_AFTER`
seconds. What is known is kept then, and `get(key, max_age=…)` refuses to serve it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Literal, TypeVar, overload

from gateway.client.feed import Appended, Current, FeedItem, Loading, Lost, Rows
from gateway.client.lanes import LaneChange, LaneKey, LaneState
from gateway.clock import Clock
from schemas import Event, LeverageChanged, Timestamp

STALE_AFTER = 1.0  # seconds without a word that nothing is missing
REMEMBERED_EVENTS = 100_000  # events seen, for `at_least`
CacheState = Literal["loading", "ready", "stale", "closed"]
D = TypeVar("D")


class NotReady(Exception):  # noqa: N818 - the contract's name
    """Raised where a cache is read before all of the state is in."""


class Stale(Exception):  # noqa: N818 - the contract's name
    """Raised where what is known may be older than the caller accepts; `age` is in seconds."""

    def __init__(self, age: float, max_age: float) -> None:
        super().__init__(f"the cache is {age:.3f} s behind at most, and {max_age:.3f} s were accepted")
        self.age = age


class Closed(Exception):  # noqa: N818 - one of the family
    """Raised where a cache that is waited for was closed."""


class LeverageCache(Mapping[LaneKey, LaneState]):
    """The last `LeverageChanged` of every lane."""

    def __init__(
        self, feed: AsyncGenerator[FeedItem], *, clock: Clock, given: Mapping[str, int], given_before: int
    ) -> None:
        """`given`: the ids of events that the client was given, numbered; `given_before`: the last number so far."""
        self._clock = clock
        self._given = given
        self._given_before = given_before
        self._lanes: dict[LaneKey, LaneState] = {}
        self._loading: dict[LaneKey, LaneState] | None = {}
        self._is_loaded = False
        self._is_closed = False
        self._lost_why: str | None = None
        self._current_at: float | None = None  # monotonic
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._changed = asyncio.Condition()
        self._readers: list[dict[LaneKey, LaneChange]] = []
        self._task = asyncio.create_task(self._follow(feed), name="leverage cache")

    @property
    def state(self) -> CacheState:
        """Where it is in its life."""
        if self._is_closed:
            return "closed"
        if not self._is_loaded:
            return "loading"
        return "stale" if self._lost_why is not None or self.lag > STALE_AFTER else "ready"

    @property
    def lag(self) -> float:
        """Seconds for which something committed may be missing; infinite while loading."""
        return float("inf") if self._current_at is None else max(0.0, self._clock.monotonic() - self._current_at)

    @property
    def as_of(self) -> datetime | None:
        """The time up to which everything committed is in; None while loading."""
        return None if self._current_at is None else Timestamp.from_epoch(self._clock.wall() - self.lag)

    @property
    def stale_because(self) -> str | None:
        """Why the log cannot be followed now, where it cannot."""
        return self._lost_why

    async def ready(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the contract's own name
        """Wait until all of the state is in; TimeoutError, or Closed where it never will be."""
        await self._wait_for(lambda: self._is_loaded, timeout)

    def __getitem__(self, key: LaneKey) -> LaneState:
        self._check_loaded()
        return self._lanes[key]

    def __iter__(self) -> Iterator[LaneKey]:
        self._check_loaded()
        return iter(dict(self._lanes))

    def __len__(self) -> int:
        self._check_loaded()
        return len(self._lanes)

    @overload
    def get(self, key: LaneKey, /, *, max_age: float | None = None) -> LaneState | None: ...
    @overload
    def get(self, key: LaneKey, /, default: LaneState | D, *, max_age: float | None = None) -> LaneState | D: ...
    def get(
        self, key: LaneKey, /, default: LaneState | D | None = None, *, max_age: float | None = None
    ) -> LaneState | D | None:
        """The lane's state, or `default` where nothing is known of it.

        Raises:
            NotReady: not all of the state is in yet.
            Stale: it may be more than `max_age` seconds old.
        """
        self._check_loaded()
        if max_age is not None and self.lag > max_age:
            raise Stale(self.lag, max_age)
        return self._lanes.get(key, default)

    async def at_least(self, event: Event, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Wait until what is told here is not older than an event that this client was given (read your writes)."""
        given = self._given.get(event.event_id)
        if given is not None and given <= self._given_before:
            await self.ready(timeout)
            return
        await self._wait_for(lambda: self._is_loaded and self._includes(event), timeout)

    async def wait_until(
        self,
        key: LaneKey,
        predicate: Callable[[LaneState | None], bool],
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> LaneState | None:
        """Wait until the lane's state satisfies `predicate`, and return it."""
        await self._wait_for(lambda: self._is_loaded and predicate(self._lanes.get(key)), timeout)
        return self._lanes.get(key)

    async def changes(self) -> AsyncGenerator[LaneChange]:
        """Follow changes from now on, until the caller stops or the cache is closed.

        A reader that is slow gets one change a lane: from what it saw last to what is now. So it is owed a bounded
        number, and never the values between.
        """
        owed: dict[LaneKey, LaneChange] = {}
        self._readers.append(owed)
        try:
            while True:
                async with self._changed:
                    await self._changed.wait_for(lambda: owed or self._is_closed)
                if not owed:
                    return
                while owed:
                    yield owed.pop(next(iter(owed)))
        finally:
            self._readers.remove(owed)

    async def close(self) -> None:
        """Stop following."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _follow(self, feed: AsyncGenerator[FeedItem]) -> None:
        try:
            async for item in feed:
                self._take(item)
                async with self._changed:
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 - whatever ends the feed is told to who waits
            self._lost_why = f"{type(error).__name__}: {error}"
        finally:
            self._is_closed = True
            await feed.aclose()
            async with self._changed:
                self._changed.notify_all()

    def _take(self, item: FeedItem) -> None:
        match item:
            case Loading(why=why):
                self._loading = {}
                self._lost_why = why if self._is_loaded else None
            case Rows(rows=rows, gone=gone):
                self._load(rows, gone)
            case Appended(events=events):
                for logged in events:
                    self._see(logged.event)
            case Current(age=age):
                self._finish_loading()
                self._lost_why = None
                self._current_at = self._clock.monotonic() - age
            case Lost(why=why):
                self._lost_why = why

    def _load(self, rows: Sequence[LeverageChanged], gone: Sequence[LaneKey]) -> None:
        for row in rows:
            self._put(row)
        for key in gone:
            (self._lanes if self._loading is None else self._loading).pop(key, None)

    def _see(self, event: Event) -> None:
        if isinstance(event, LeverageChanged):
            self._put(event)
        self._seen[event.event_id] = None
        if len(self._seen) > REMEMBERED_EVENTS:
            self._seen.popitem(last=False)

    def _put(self, event: LeverageChanged) -> None:
        key, new = LaneKey.of(event), LaneState(event)
        if self._loading is not None:
            self._loading[key] = new
        else:
            self._tell(key, self._lanes.get(key), new)
            self._lanes[key] = new

    def _finish_loading(self) -> None:
        """Let what was loaded take the place of what was known, and tell the difference."""
        if self._loading is None:
            return
        before, self._lanes, self._loading = self._lanes, self._loading, None
        if self._is_loaded:
            for key, new in self._lanes.items():
                if before.get(key) != new:
                    self._tell(key, before.get(key), new)
        self._is_loaded = True

    def _tell(self, key: LaneKey, old: LaneState | None, new: LaneState) -> None:
        for owed in self._readers:
            first = owed.get(key)
            owed[key] = LaneChange(key, old if first is None else first.old, new)

    def _includes(self, event: Event) -> bool:
        if event.event_id in self._seen:
            return True
        state = self._lanes.get(LaneKey.of(event))
        return state is not None and _is_after(state.event.event_id, event.event_id)

    def _check_loaded(self) -> None:
        if not self._is_loaded:
            raise NotReady("not all of the state is in yet: `await cache.ready()` first")

    async def _wait_for(self, is_so: Callable[[], bool], timeout: float | None) -> None:  # noqa: ASYNC109
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: self._is_closed or is_so())
        if not is_so():
            raise Closed(f"the cache was closed{f': {self._lost_why}' if self._lost_why else ''}")


def _is_after(one: str, other: str) -> bool:
    """Whether an event is that of a later command of the same partition, by its id: topic, partition, offset."""
    place, _, offset = one.rpartition("/")
    other_place, _, other_offset = other.rpartition("/")
    return place == other_place and offset.isdecimal() and other_offset.isdecimal() and int(offset) >= int(other_offset)
