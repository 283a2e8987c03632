"""What a broken promise looks like: its name, what is wrong, and the few lines of history that show it."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from schemas import LeverageChanged, Timestamp
from tests.chaos.history import Call, Record
from tests.chaos.story import Asked, Told, event_of

Kind = Literal[
    "unanswered",
    "answered twice",
    "unreadable",
    "repeat answered",
    "answer to nothing",
    "wrong partition",
    "wrong answer",
    "dead letter",
    "dead letter altered",
    "superseded",
    "told backwards",
    "state",
    "call of nobody",
    "overlap",
    "calls backwards",
    "applied backwards",
    "sent after expiry",
    "sent though refused",
    "not applied",
    "final value",
    "over budget",
    "event id",
    "trace",
    "error headers",
    "dead letter late",
    "seen apart",
    "called after its answer",
    "no owner's call",
    "attempts",
    "applied though refused",
]


class Violation(Struct, frozen=True, kw_only=True):
    """One broken promise."""

    kind: Kind
    message: str
    evidence: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([f"{self.kind}: {self.message}", *(f"    {line}" for line in self.evidence)])


Line = tuple[float, str]


def violation(kind: Kind, message: str, *lines: Iterable[Line]) -> Violation:
    """A violation with its evidence in the order of time, each line once."""
    evidence = sorted({line for group in lines for line in group})
    return Violation(kind=kind, message=message, evidence=tuple(f"{_clock(at)}  {text}" for at, text in evidence))


def command_lines(*commands: Asked) -> list[Line]:
    """The commands with their answers and dead letters, without their calls."""
    lines: list[Line] = []
    for asked in commands:
        lines.append((asked.record.timestamp_ms / 1000, f"command {asked.place} {_command_text(asked)}"))
        lines += [line for told in asked.told for line in event_lines(told)]
        lines += [record_line("dead letter", record) for record in asked.dead_letters]
    return lines


def event_lines(told: Told) -> list[Line]:
    """One event."""
    return [record_line("event", told.record)]


def record_line(what: str, record: Record) -> Line:
    """Any record of an answer topic."""
    event, answers = event_of(record), record.answers
    text = f"{what} {record.place} answers {answers or 'nothing'}"
    if event is not None:
        said = event.certainty if isinstance(event, LeverageChanged) else event.reason
        text += f" {type(event).__name__} {event.leverage} {said} attempts={event.attempts} id={event.command_id}"
    return record.timestamp_ms / 1000, text


def call_lines(*calls: Call) -> list[Line]:
    """Calls as the venue saw them."""
    return [(call.received_at, f"call #{call.seq} {call.lane_key} = {call.value} {_course(call)}") for call in calls]


def _course(call: Call) -> str:
    applied = "never applied" if call.applied_at is None else f"applied {_clock(call.applied_at)}"
    finished = "still open" if call.finished_at is None else f"finished {_clock(call.finished_at)}"
    return f"{call.verdict} {call.status} {call.code}, {applied}, {finished}"


def _command_text(asked: Asked) -> str:
    command = asked.command
    if command is None:
        return f"unreadable {(asked.record.value or b'null')[:40]!r}"
    repeats = f", repeats {asked.repeats.place}" if asked.repeats else ""
    expires = f", expires {command.expires_at}" if command.expires_at else ""
    return f"{command.key} {command.target.lane} = {command.leverage} id={command.command_id}{expires}{repeats}"


def _clock(at: float) -> str:
    return str(Timestamp.from_epoch(at))[11:]
