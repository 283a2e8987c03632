"""How many letters of which kind there are, since when and last when. Pure."""

import re
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from gateway.client.dead_letters.letters import Letter, LetterRow
from schemas import Timestamp

GroupBy = Literal["reason", "venue", "account", "lane", "issuer", "code", "fingerprint"]
MOST_GROUPS = 10_000  # what a hostile topic can make us hold of one kind; the rest is one group
OTHERS = "(others)"
LONGEST_MESSAGE = 120  # characters
_NUMBER = re.compile(r"\b[0-9a-f-]{16,}\b|[0-9]+(?:[.:,-][0-9]+)*", re.IGNORECASE)  # ids too


class LetterGroup(Struct, frozen=True, kw_only=True, tag_field="type", tag="DeadLetterGroup"):
    """Letters that share one value, as `--json` has it; None where letters lack it."""

    by: GroupBy
    value: str | None
    count: int
    first_at: Timestamp | None
    last_at: Timestamp | None


class LetterCounts:
    """Counts letters as they come, by each of these."""

    def __init__(self, by: Sequence[GroupBy]) -> None:
        self._groups: dict[GroupBy, dict[str | None, LetterGroup]] = {one: {} for one in by}

    def add(self, letter: Letter, row: LetterRow) -> None:
        """Count one letter."""
        for by, groups in self._groups.items():
            value: str | None = fingerprint(letter, row) if by == "fingerprint" else getattr(row, by)
            if value not in groups and len(groups) >= MOST_GROUPS:
                value = OTHERS
            groups[value] = _with_one_more(groups.get(value), by, value, row.failed_at)

    def largest_first(self) -> list[LetterGroup]:
        """All groups, one kind after the other."""
        return [
            group for groups in self._groups.values() for group in sorted(groups.values(), key=lambda one: -one.count)
        ]


def fingerprint(letter: Letter, row: LetterRow) -> str:
    """Where, why and in which words a letter failed, without numbers: what is the same fault has the same."""
    message = _NUMBER.sub("#", (letter.errors.message or "")[: 2 * LONGEST_MESSAGE])[:LONGEST_MESSAGE]
    said = (row.venue, letter.errors.stage, row.reason, row.code, message)
    return " ".join(one for one in said if one)


def _with_one_more(group: LetterGroup | None, by: GroupBy, value: str | None, at: Timestamp | None) -> LetterGroup:
    times = [one for one in (at, group and group.first_at, group and group.last_at) if one is not None]
    return LetterGroup(
        by=by,
        value=value,
        count=1 + (group.count if group else 0),
        first_at=min(times, default=None),
        last_at=max(times, default=None),
    )
