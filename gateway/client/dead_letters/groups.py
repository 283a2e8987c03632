"""How many letters of which kind there are, since when and last when. Pure."""

from typing import Literal

from msgspec import Struct

from gateway.client.dead_letters.letters import LetterRow
from schemas import Timestamp

GroupBy = Literal["reason", "venue", "account", "lane", "issuer", "code"]
MOST_GROUPS = 10_000  # what a hostile topic can make us hold; the rest is one group
OTHERS = "(others)"


class LetterGroup(Struct, frozen=True, kw_only=True, tag_field="type", tag="DeadLetterGroup"):
    """Letters that share one value, as `--json` has it; None where letters lack it."""

    by: GroupBy
    value: str | None
    count: int
    first_at: Timestamp | None
    last_at: Timestamp | None


class Groups:
    """Counts rows as they come."""

    def __init__(self, by: GroupBy) -> None:
        self._by: GroupBy = by
        self._groups: dict[str | None, LetterGroup] = {}

    def add(self, row: LetterRow) -> None:
        """Count one letter."""
        value: str | None = getattr(row, self._by)
        if value not in self._groups and len(self._groups) >= MOST_GROUPS:
            value = OTHERS
        group = self._groups.get(value)
        times = [at for at in (row.failed_at, group and group.first_at, group and group.last_at) if at is not None]
        self._groups[value] = LetterGroup(
            by=self._by,
            value=value,
            count=1 + (group.count if group else 0),
            first_at=min(times, default=None),
            last_at=max(times, default=None),
        )

    def largest_first(self) -> list[LetterGroup]:
        """All groups."""
        return sorted(self._groups.values(), key=lambda group: -group.count)
