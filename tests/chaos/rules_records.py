"""What the contract says of each record that an answer is made of, and of their being written together.

Pure. `checker` runs these beside `rules_answers` and `rules_lanes`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from schemas import LeverageChanged, LeverageRejected
from schemas.headers import ERROR_FIELDS, ERROR_PREFIX, header
from schemas.topics import Topics
from schemas.trace_context import trace_headers
from tests.chaos.history import Place, Record
from tests.chaos.story import Asked, Story, event_of
from tests.chaos.violations import Line, Violation, command_lines, record_line, violation

TRANSACTION_LASTS = 60.0  # seconds at most: the broker aborts what is open for longer (`transaction_timeout_ms`)
COMMANDS = Topics().commands


def event_ids(story: Story) -> Iterator[Violation]:
    """An event is named after its command's place."""
    for asked in story.asked.values():
        for told in asked.told:
            right = f"{COMMANDS}/{asked.place}"
            if told.event.event_id != right:
                message = f"the event of {asked.place} is named {told.event.event_id}, not {right}"
                yield violation("event id", message, command_lines(asked))


def trace_passed_on(story: Story) -> Iterator[Violation]:
    """Events and state records carry the command's valid `traceparent`, and no other."""
    for what, records in (("event", story.history.events), ("state", story.history.state)):
        for record in records:
            asked = None if record.answers is None else story.asked.get(record.answers)
            if asked is not None and trace_headers(record.headers) != trace_headers(asked.record.headers):
                message = f"the {what} of {asked.place} carries another trace than its command"
                yield violation("trace", message, [record_line(what, record)])


def error_headers(story: Story) -> Iterator[Violation]:
    """A dead letter says why it is one, where its command stood, and the same as its event."""
    for asked in story.asked.values():
        for letter in asked.dead_letters:
            wrong = _wrong_errors(asked, letter)
            if wrong:
                message = f"the dead letter of {asked.place} lacks or contradicts {', '.join(wrong)}"
                yield violation("error headers", message, command_lines(asked))


def _wrong_errors(asked: Asked, letter: Record) -> list[str]:
    said = {name: header(letter.headers, ERROR_PREFIX + name) for name in ERROR_FIELDS}
    right = {"topic": COMMANDS, "partition": str(asked.place.partition), "offset": str(asked.place.offset)}
    event = asked.answer
    if isinstance(event, LeverageRejected):
        right |= {"reason": event.reason, "message": event.message}
        right |= {"attempts": str(event.attempts), "failed_at": str(event.occurred_at)}
    elif asked.command is None:
        right |= {"stage": "intake", "reason": "undecodable", "attempts": "0"}
    return [name for name in ERROR_FIELDS if said[name] is None or said[name] != right.get(name, said[name])]


def letters_in_time(story: Story) -> Iterator[Violation]:
    """A dead letter is written with its event, not some time later."""
    for asked in story.asked.values():
        for told, letter in zip(asked.told, asked.dead_letters, strict=False):
            apart = abs(letter.timestamp_ms - told.record.timestamp_ms) / 1000
            if apart > TRANSACTION_LASTS:
                message = f"the dead letter of {asked.place} was written {apart:.0f} s from its event"
                yield violation("dead letter late", message, command_lines(asked))


def all_or_nothing(story: Story) -> Iterator[Violation]:
    """What one transaction wrote to two topics is one transaction on both: nobody reads a part of it without the rest.

    A transaction's end takes an offset of its own, so the records between two gaps of a partition are of one.
    """
    events = _transactions(story.history.events)
    for what, records in (("state", story.history.state), ("dead letter", story.history.dead_letters)):
        written = _transactions(records)
        both = [record for record in records if record.answers in events]
        for one, other in ((events, written), (written, events)):
            partner: dict[int, int] = {}
            for record in both:
                mine, theirs = one[record.answers], other[record.answers]
                if partner.setdefault(mine, theirs) != theirs:
                    message = f"the {what} of {record.answers} is of another transaction than what it belongs to"
                    yield violation("seen apart", message, [record_line(what, record)])


def _transactions(records: Iterable[Record]) -> dict[Place | None, int]:
    """The number of the transaction that wrote the answer to each command."""
    found: dict[Place | None, int] = {}
    number, last = 0, Place(-1, -1)
    for record in sorted(records, key=lambda each: each.place):
        if record.partition != last.partition or record.offset > last.offset + 1:
            number += 1
        last = record.place
        found[record.answers] = number
    return found


def state_in_order(story: Story) -> Iterator[Violation]:
    """The state topic tells each partition's changes as its events do: none missing, altered, doubled or moved."""
    changes: defaultdict[int, list[Record]] = defaultdict(list)
    states: defaultdict[int, list[Record]] = defaultdict(list)
    for record in sorted(story.history.events, key=lambda each: each.place):
        if isinstance(event_of(record), LeverageChanged):
            changes[record.partition].append(record)
    for record in sorted(story.history.state, key=lambda each: each.place):
        states[record.partition].append(record)
    for partition in sorted({*changes, *states}):
        lines = _first_difference(changes[partition], states[partition])
        if lines:
            yield violation("state", f"the states of partition {partition} are not its changes one by one", lines)


def _first_difference(changes: Sequence[Record], states: Sequence[Record]) -> list[Line]:
    for change, state in zip_longest(changes, states):
        event = None if change is None else event_of(change)
        if (
            change is None
            or state is None
            or event is None
            or (state.answers, state.key, state.value) != (change.answers, _state_key(event), change.value)
        ):
            pair = (("event", change), ("state", state))
            return [record_line(what, record) for what, record in pair if record is not None]
    return []


def _state_key(event: object) -> bytes:
    return event.state_key.encode() if isinstance(event, LeverageChanged) else b""
