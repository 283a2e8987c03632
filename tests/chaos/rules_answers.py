"""Promise 1 and what the contract says of answers: each rule looks at one story and tells what breaks it.

Pure. `checker` runs these and `rules_lanes`.
"""

import hashlib
from collections.abc import Iterator

from gateway.pipeline.answers import CUT_BYTES
from schemas import Event, LeverageChanged, LeverageRejected
from schemas.headers import CUT_FIELDS, ERROR_PREFIX, content_type, header
from tests.chaos.history import Record
from tests.chaos.story import CLOCK_GRAIN, Asked, Story, Told
from tests.chaos.violations import Violation, command_lines, event_lines, record_line, violation


def one_answer(story: Story) -> Iterator[Violation]:
    """Each command record has exactly one event; one that cannot be read has one dead letter; a repeat has nothing."""
    for asked in story.asked.values():
        if asked.is_gone:
            continue
        if asked.command is None:
            yield from _unreadable(asked)
        elif asked.repeats is not None:
            yield from _repeat(asked, asked.repeats)
        elif len(asked.told) != 1:
            kind = "answered twice" if asked.told else "unanswered"
            message = f"command {asked.place} has {len(asked.told)} events"
            yield violation(kind, message, command_lines(asked))


def _unreadable(asked: Asked) -> Iterator[Violation]:
    if asked.told or len(asked.dead_letters) != 1:
        message = f"unreadable {asked.place} has {len(asked.told)} events and {len(asked.dead_letters)} dead letters"
        yield violation("unreadable", message, command_lines(asked))


def _repeat(asked: Asked, first: Asked) -> Iterator[Violation]:
    if asked.told or asked.dead_letters:
        message = f"{asked.place} repeats {first.place} and was answered all the same"
        yield violation("repeat answered", message, command_lines(first, asked))


def nothing_else(story: Story) -> Iterator[Violation]:
    """Every event and dead letter answers a command record that exists."""
    for what, record in story.strays:
        message = f"{what} at {record.place} answers no command there is"
        yield violation("answer to nothing", message, [record_line(what, record)])


def same_partition(story: Story) -> Iterator[Violation]:
    """What belongs to a command is on its partition."""
    for asked in story.asked.values():
        for record in [*(told.record for told in asked.told), *asked.dead_letters]:
            if record.partition != asked.record.partition:
                message = f"the answer to {asked.place} is on partition {record.partition}"
                yield violation("wrong partition", message, command_lines(asked))
    for record in story.history.state:
        if record.answers is not None and record.partition != record.answers.partition:
            message = f"the state of {record.answers} is on partition {record.partition}"
            yield violation("wrong partition", message, [record_line("state", record)])


def agreement(story: Story) -> Iterator[Violation]:
    """An event says of its command what the command says, in the command's encoding, under its key."""
    for asked in story.asked.values():
        for told in asked.told:
            wrong = _disagreements(asked, told)
            if wrong:
                message = f"the event of {asked.place} differs from its command in {', '.join(wrong)}"
                yield violation("wrong answer", message, command_lines(asked))


def _disagreements(asked: Asked, told: Told) -> list[str]:
    command, event = asked.command, told.event
    if command is None:
        return ["being there at all"]
    fields = ("command_id", "account", "target", "issuer", "redrive_of", "issued_at")
    wrong = [name for name in fields if getattr(command, name) != getattr(event, name)]
    if event.lane != command.target.lane:
        wrong.append("lane")
    if told.record.key != command.key.encode():
        wrong.append("key")
    if content_type(told.record.headers) != content_type(asked.record.headers):
        wrong.append("content-type")
    if str(_asked_leverage(event)) != str(command.leverage):  # as text: NaN is not equal to itself
        wrong.append("leverage")
    return wrong


def _asked_leverage(event: Event) -> object:
    return event.requested_leverage if isinstance(event, LeverageChanged) else event.leverage


def dead_letters(story: Story) -> Iterator[Violation]:
    """A command is on the dead-letter topic, byte for byte, exactly where its event says so."""
    for asked in story.asked.values():
        flagged = isinstance(asked.answer, LeverageRejected) and asked.answer.dead_lettered
        readable = asked.command is not None and asked.repeats is None
        if readable and len(asked.dead_letters) != int(flagged):
            message = (
                f"the event of {asked.place} says dead_lettered={flagged}, and there are {len(asked.dead_letters)}"
            )
            yield violation("dead letter", message, command_lines(asked))
        for letter in asked.dead_letters:
            if (letter.key, letter.value) != _bytes_of(asked.record, letter):
                message = f"the dead letter of {asked.place} is not its bytes"
                yield violation("dead letter altered", message, command_lines(asked))


def _bytes_of(record: Record, letter: Record) -> tuple[bytes | None, bytes | None]:
    """What a letter must hold: all of its command's record; where its headers tell size and hash, the first kilobyte."""
    value = record.value or b""
    told = [header(letter.headers, ERROR_PREFIX + name) for name in CUT_FIELDS]
    if told != [str(len(value)), hashlib.sha256(value).hexdigest()]:
        return record.key, record.value
    return record.key and record.key[:CUT_BYTES], record.value and value[:CUT_BYTES]


def superseded(story: Story, *, latest_wins: bool) -> Iterator[Violation]:
    """A superseded command names a newer one of its lane that was there by then; where latest wins is off there is none."""
    for commands in story.lanes.values():
        for index, asked in enumerate(commands):
            if asked.reason != "superseded" or not isinstance(asked.answer, LeverageRejected):
                continue
            told_at = asked.told[0].record.timestamp_ms / 1000 + CLOCK_GRAIN
            known = [each for each in commands[index + 1 :] if each.written_at <= told_at]
            newer = {each.command.command_id for each in known if each.command}
            if not latest_wins:
                message = f"{asked.place} is superseded, and latest wins is off"
                yield violation("superseded", message, command_lines(asked))
            elif asked.answer.superseded_by not in newer:
                message = (
                    f"{asked.place} names {asked.answer.superseded_by}, which was no newer command of its lane by then"
                )
                yield violation("superseded", message, command_lines(asked))


def state(story: Story) -> Iterator[Violation]:
    """The state topic's last record of a lane is the lane's last LeverageChanged: with `final_values`, what it has."""
    by_age = sorted(story.history.state, key=lambda record: record.offset)
    last = {(record.key or b"").decode(errors="replace"): record for record in by_age}
    for key, commands in story.lanes.items():
        accepted = [asked for asked in commands if asked.changed is not None]
        record = last.pop(key, None)
        if not accepted:
            if record is not None:
                yield violation("state", f"{key} has a state and never changed", [record_line("state", record)])
            continue
        told = accepted[-1].told[0]
        if record is None or (record.value, record.partition) != (told.record.value, told.record.partition):
            shown = [] if record is None else [record_line("state", record)]
            message = f"the last state of {key} is not its last LeverageChanged"
            yield violation("state", message, event_lines(told), shown)
    for key, record in last.items():
        yield violation("state", f"{key} is no lane of any command", [record_line("state", record)])


def answers_in_order(story: Story) -> Iterator[Violation]:
    """The changes of a lane are told in the order of its commands."""
    for key, commands in story.lanes.items():
        previous: Asked | None = None
        for asked in commands:
            if asked.changed is None:
                continue
            if previous is not None and asked.told[0].record.offset < previous.told[0].record.offset:
                message = f"{key}: the change of {asked.place} is told before that of {previous.place}"
                yield violation("told backwards", message, command_lines(previous, asked))
            previous = asked
