"""What the demo prints: every sample command with its event, one event whole, the dead letter, where to look next."""

from collections.abc import Sequence
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.client import SentCommand
from gateway.demo.scenario import Sample, outcome
from gateway.demo.second_act import RedrivenLetter
from gateway.demo.stream_act import StreamSeen
from schemas import Event, LeverageChanged, encode
from schemas.targets import venue_of

_COLUMNS = ("#", "command", "shows", "answer", "calls", "after", "in the event's words")
_ROOM_FOR_WORDS = 130

NEXT = """\
Where to look next
  README.md                      First steps: the same by hand, with a real Apache Kafka; settings, topics, promises
  gateway/demo/scenario.py       the commands above; change one and run this again
  leverage-gateway simulate      the venues alone; leverage-gateway send, watch: commands and events by hand
  leverage-gateway run           the gateway, with your gateway.toml; after make demo all of these are in .venv/bin
  schemas/                       every message, its JSON Schema and examples"""


class SampleResult(NamedTuple):
    """A sample, its command as sent, and its event if one came in time."""

    sample: Sample
    sent: SentCommand
    event: Event | None

    @property
    def seconds(self) -> float:
        """From the command's issue to the moment the gateway knew its answer."""
        if self.event is None or self.event.issued_at is None:
            return 0.0
        return self.event.occurred_at.timestamp() - self.event.issued_at.timestamp()


def print_report(
    answered: Sequence[SampleResult], redriven: RedrivenLetter, stream: StreamSeen, console: Console
) -> None:
    """Print all of it."""
    shown = len(_COLUMNS) if console.width >= _ROOM_FOR_WORDS else len(_COLUMNS) - 1
    table = _table("What became of each command")
    for column in _COLUMNS[:shown]:
        table.add_column(column, overflow="fold", no_wrap=column == "command")
    for number, one in enumerate(answered, start=1):
        table.add_row(*_row(number, one)[:shown])
    console.print(table)
    retried = next((one.event for one in answered if one.event is not None and one.event.attempts > 1), None)
    if retried is not None:
        console.print(Text("The event of the one that was retried, as it is on leverage.events.v1:"))
        console.print_json(encode(retried).decode(), indent=None)
    console.print(_second_act(redriven))
    console.print(_stream_act(stream))
    console.print(Text(f"\n{NEXT}"))


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, box=box.SIMPLE, title=title, title_justify="left", padding=(0, 1, 0, 0))


def _stream_act(seen: StreamSeen) -> Table:
    table = _table("What a client of the edge saw: no Kafka, a token", "step", "what came over the WebSocket")
    key, old, new = seen.change.key, seen.change.old, seen.change.new
    before = "nothing" if old is None else f"{old.event.leverage}x"
    style = "green" if seen.is_whole else "bold red"
    for step, said in (
        ("cache ready", f"a snapshot of {seen.lanes} lanes; {key.venue} {key.lane} has {before}"),
        ("command in", f"{key.venue} {key.lane} {seen.sent.requested_leverage}x: {outcome(seen.sent)}"),
        ("change out", f"{key.venue} {key.lane} from {before} to {new.event.leverage}x, in the cache that follows"),
    ):
        table.add_row(Text(step), Text(said, style=style))
    return table


def _second_act(redriven: RedrivenLetter) -> Table:
    table = _table("What became of the dead letter", "step", "what came of it", "leverage-gateway dead-letters …")
    row, judged, sent, event = redriven.seen, redriven.judged, redriven.sent, redriven.closed_by
    letter = "P:O" if row is None else row.letter
    seen = None if row is None else f"letter {row.letter}: {row.reason}, {row.venue} {row.lane}"
    verdict = None if judged is None else f"{judged.verdict}: {judged.why}"
    again = None if sent is None or sent.verdict != "apply" else f"as {redriven.batch}"
    closed = None if event is None else f"{outcome(event)}, by the event of its new command"
    for step, said, command in (
        ("seen", seen, "list"),
        ("judged", verdict, f"redrive {letter} --plan plan.json"),
        ("sent again", again, "redrive --apply plan.json --note TEXT"),
        ("closed", closed, "batches ID"),
    ):
        style = "bold red" if said is None else "green"
        table.add_row(Text(step), Text(said or "did not come about", style=style), Text(command))
    return table


def _row(number: int, one: SampleResult) -> list[Text]:
    command, event = one.sent.command, one.event
    asked = f"{venue_of(command.target)} {command.target.lane} {command.leverage}x"
    row = [Text(str(number)), Text(asked), Text(one.sample.shows)]
    if event is None:
        return [*row, Text("no answer", style="bold red")]
    changed = isinstance(event, LeverageChanged)
    style = "bold red" if not one.sample.met_by(event) else "green" if changed else "yellow"
    words = f"the venue has {event.leverage}x, {event.certainty}" if changed else event.message
    told = [str(event.attempts), f"{one.seconds * 1000:.0f} ms", words]
    return [*row, Text(outcome(event), style=style), *map(Text, told)]
