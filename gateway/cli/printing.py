"""What commands print: tables for people, JSON for programs; foreign text never as terminal control."""

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas import Event, LeverageChanged
from schemas.targets import venue_of

_TERMINAL_CONTROL = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")  # beyond JSON's own escapes
_PIPE_WIDTH = 200  # columns for tables that go into a file or pipe


def plain(text: object) -> Text:
    """Text as it stands: no markup, and no characters that move a cursor or change a terminal."""
    return Text("".join(character if character.isprintable() else "�" for character in str(text)))


def print_json(value: Any) -> None:
    """One line of JSON on standard output."""
    print_encoded(msgspec.json.encode(value))


def print_encoded(message: bytes) -> None:
    """A line of JSON that is written already; what would change a terminal is escaped, as JSON allows everywhere."""
    text = message.decode()
    sys.stdout.write(_TERMINAL_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """A table on standard output."""
    table = Table(*columns, title=title, box=box.SIMPLE, title_justify="left")
    for row in rows:
        table.add_row(*(plain("" if cell is None else cell) for cell in row))
    console().print(table)


def print_line(text: object) -> None:
    """A line on standard output."""
    console().print(plain(text), soft_wrap=True)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to `exits`, which ends quietly; rich would exit with 1."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output as rich sees it; wide where it is no terminal."""
    return _Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def event_line(event: Event) -> Text:
    """One event as people read it: when, what became of it, whose it is, and why."""
    changed = isinstance(event, LeverageChanged)
    outcome = Text(f"{'changed' if changed else event.reason:<17}", style="green" if changed else "red")
    where = plain(f"{venue_of(event.target):<18}{event.account:<14} {event.lane:<36} {event.leverage!s:>4}x  ")
    detail = event.certainty if changed else _why(event.message, event.venue_code)
    return Text(f"{event.occurred_at}  ") + outcome + where + plain(f"{event.command_id}  {detail}")


def _why(message: str, venue_code: str | None) -> str:
    return message if venue_code is None else f"{message} [{venue_code}]"
