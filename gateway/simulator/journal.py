"""The record of every call to a leverage endpoint, and the leverages that the venues now hold.

The server writes it; tests and the chaos checker read it here or through the control pages.
"""

from collections.abc import Sequence

from msgspec import Struct

from gateway.simulator.exchange import Asked, Change, VenueWord, Verdict


class Entry(Struct, kw_only=True):
    """One call. Times are seconds since 1970 UTC of this machine; a simulated skew is not in them.

    Attributes:
        seq: the order in which requests were read, from 1.
        account: the account whose key it showed; empty where no account has it.
        value: the leverage asked as decimal text; 0 where none could be read.
        applied_at: None while and where nothing changed.
        finished_at: when it was answered or its connection was gone; None while open.
        status: None where no answer was sent.
        code: the venue's own code, if the answer has one.
    """

    seq: int
    venue: VenueWord
    account: str
    lane: str
    value: str
    received_at: float
    applied_at: float | None = None
    finished_at: float | None = None
    status: int | None = None
    code: str | None = None
    verdict: Verdict | None = None


class Journal:
    """The newest entries, and how many there were in all; memory is bounded by `capacity`."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: list[Entry] = []
        self._count = 0

    @property
    def entries(self) -> Sequence[Entry]:
        """Those that are kept, oldest first."""
        return self._entries

    @property
    def count(self) -> int:
        """All there ever were."""
        return self._count

    def open(self, venue: VenueWord, asked: Asked, received_at: float) -> Entry:
        """The entry of a call that has just been read."""
        self._count += 1
        entry = Entry(
            seq=self._count,
            venue=venue,
            account=asked.account,
            lane=asked.lane,
            value=asked.value,
            received_at=received_at,
        )
        self._entries.append(entry)
        if len(self._entries) > self._capacity:
            # A tenth at a time, so that the list is not moved for every call.
            del self._entries[: max(1, self._capacity // 10)]
        return entry

    def page(self, since: int, limit: int) -> tuple[Sequence[Entry], int]:
        """At most `limit` entries with `seq` of at least `since`, and the `since` of the next page."""
        if not self._entries:
            return (), max(since, self._count + 1)
        start = max(0, since - self._entries[0].seq)
        found = self._entries[start : start + limit]
        return found, found[-1].seq + 1 if found else max(since, self._count + 1)


class Holdings:
    """The leverage of every account and lane, for as long as the process lives."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def apply(self, venue: VenueWord, change: Change) -> None:
        """From now on this value."""
        self._values[f"{venue}:{change.account}:{change.lane}"] = change.value

    def get(self, venue: VenueWord, account: str, lane: str) -> str | None:
        """The value set last; None where none was."""
        return self._values.get(f"{venue}:{account}:{lane}")

    def all(self) -> dict[str, str]:
        """Every `<venue>:<account>:<lane>` that was set, with its decimal text."""
        return dict(self._values)
