"""What the commands on dead letters print: one object a line for programs, lines and tables for people."""

from typing import Any

import msgspec
from msgspec import Struct

from gateway.cli.printing import print_json, print_line
from gateway.client.dead_letters import BatchLetter, Coverage, LetterDetail, LetterRow, LetterVerdict
from schemas import Event, LeverageChanged

LONGEST_FIELD = 80  # characters


def print_object(message: Struct) -> None:
    """One object as JSON."""
    print_json(msgspec.to_builtins(message, enc_hook=str))


def print_row(row: LetterRow | LetterVerdict | BatchLetter | Coverage, *, json: bool) -> None:
    """One row of a list, or its end."""
    if json:
        print_object(row)
    elif isinstance(row, Coverage):
        spans = ", ".join(f"{span.partition}:{span.begin}-{span.end}" for span in row.partitions)
        print_line(f"looked at {spans or 'nothing'}: {'all there is' if row.complete else 'not all there is'}")
    elif isinstance(row, LetterVerdict):
        print_line(f"{row.letter:<16}{row.verdict:<17}{row.why}")
    elif isinstance(row, BatchLetter):
        print_line(f"{row.letter:<16}{row.outcome:<20}{row.command_id or '-'}")
    else:
        fields = (row.letter, row.state, row.failed_at, row.reason, row.code, row.venue, row.account, row.lane)
        print_line("  ".join(_short(field) for field in (*fields, row.command_id)))


def print_detail(detail: LetterDetail) -> None:
    """All of one letter, for people."""
    errors, command, done = detail.errors, detail.command, detail.disposition
    print_line(f"letter {detail.letter}, {detail.state}, redriven {detail.redrives} times before")
    _print_field("failed", detail.failed_at, errors.stage, errors.reason, errors.message)
    _print_field("stood at", errors.topic, errors.partition, errors.offset, errors.timestamp)
    if command is None:
        _print_field("no command", detail.undecodable_because)
    else:
        _print_field("command", command.command_id, f"{command.leverage}x", "expires", command.expires_at)
        _print_field("lane", detail.venue, detail.account, detail.lane, "asked by", detail.issuer)
    _print_field("event", *_event(detail.event))
    if done is not None:
        _print_field("done", done.at, done.state, "by", done.operator, done.batch, done.note)
    if detail.lane_now is not None:
        now = detail.lane_now
        _print_field("lane now", None if now.leverage is None else f"{now.leverage}x", "since", now.changed_at)
        for later in now.asked_since:
            _print_field("asked since", later.offset, later.command_id, f"{later.leverage}x", later.outcome)


def _print_field(name: str, *said: object) -> None:
    print_line(f"  {name:<13}{'  '.join(_short(one) for one in said)}")


def _event(event: Event | None) -> tuple[Any, ...]:
    if event is None:
        return (None,)
    if isinstance(event, LeverageChanged):
        return event.occurred_at, "changed", f"{event.leverage}x", event.certainty
    return event.occurred_at, event.reason, event.venue_code, event.message


def _short(field: object) -> str:
    return "-" if field is None else str(field)[: 4 * LONGEST_FIELD]
