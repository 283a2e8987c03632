"""Finds secrets in a line of text, at a cost that does not grow with how many there are.

The logs' guard asks here for every line. A secret of n characters covers a block of `width` that starts at a multiple
of `step`, wherever in the line it stands, if n is at least `width + step - 1`. So the blocks of a line are looked up
in one table, and only where one is known does it say which offsets and lengths to compare.
"""

from collections.abc import Collection, Iterator

import msgspec

SHORTEST_SECRET = 4  # removing shorter ones would mangle every line, and they protect nothing
REMOVED = "[removed]"


class Secrets:
    """A growing set of secrets, each in the spellings that a line may have it in."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._tables = (_Blocks(width=8, step=8), _Blocks(width=4, step=4), _Blocks(width=4, step=1))

    def add(self, secrets: Collection[str]) -> None:
        """Find these too from now on; what was known before stays known."""
        spelt = {text for secret in secrets for text in _spellings(secret) if len(text) >= SHORTEST_SECRET}
        for text in spelt - self._known:
            next(table for table in self._tables if len(text) >= table.shortest).add(text)
        self._known |= spelt

    def remove_from(self, line: str) -> str:
        """The line, with a mark in place of every stretch that secrets cover."""
        found = sorted(span for table in self._tables for span in table.find(line, self._known))
        kept: list[str] = []
        end = 0
        for start, stop in found:
            if start >= end:
                kept += (line[end:start], REMOVED)
            end = max(end, stop)
        return "".join((*kept, line[end:])) if found else line


class _Blocks:
    """Which blocks of text lie where in secrets of at least `shortest` characters."""

    def __init__(self, *, width: int, step: int) -> None:
        self.shortest = width + step - 1
        self._width = width
        self._step = step
        self._places: dict[str, tuple[tuple[int, int], ...]] = {}  # of a block: its offset in secrets of a length

    def add(self, secret: str) -> None:
        """Index the blocks one of which an occurrence must have at a multiple of the step."""
        for offset in range(self._step):
            block, place = secret[offset : offset + self._width], (offset, len(secret))
            places = self._places.get(block, ())
            if place not in places:
                self._places[block] = (*places, place)

    def find(self, line: str, known: set[str]) -> Iterator[tuple[int, int]]:
        """Where known secrets stand."""
        places, width = self._places, self._width
        if not places:
            return
        blocks = [line[at : at + width] for at in range(0, len(line) - width + 1, self._step)]
        if places.keys().isdisjoint(blocks):  # nearly every line
            return
        for at in range(0, len(line) - width + 1, self._step):
            for offset, length in places.get(line[at : at + width], ()):
                start = at - offset
                if start >= 0 and line[start : start + length] in known:
                    yield start, start + length


def _spellings(secret: str) -> set[str]:
    """A secret as it stands, as Python shows it in errors, and as JSON spells either inside a line."""
    bare = {secret, repr(secret)[1:-1], repr(secret + "'")[1:-2]}  # Python escapes a ' only where there is a " too
    return bare | {msgspec.json.encode(text).decode()[1:-1] for text in bare}
