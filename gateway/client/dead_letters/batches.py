"""Redrives so far, and of one each letter and what its command came to: dispositions first, then the events since."""

from collections.abc import AsyncGenerator, Iterable

from msgspec import Struct

from gateway.client.dead_letters.dispositions import all_dispositions
from gateway.client.dead_letters.known import CLOCKS_WITHIN_MS, events_since, outcome_of
from gateway.client.dead_letters.log import LetterLog, Place, read_event
from gateway.client.reading import Range
from schemas import Timestamp
from schemas.disposition import DeadLetterDisposition

SENT = frozenset({"redriven", "mended"})


class Batch(Struct, frozen=True, kw_only=True, tag_field="type", tag="Batch"):
    """One redrive: who, why, when it began, and how many letters it sent again."""

    batch: str
    operator: str
    note: str
    at: Timestamp
    letters: int


class BatchLetter(Struct, frozen=True, kw_only=True, tag_field="type", tag="BatchLetter"):
    """One letter of a redrive; `outcome` is `changed`, a reason, or `open` where nothing has answered yet."""

    letter: str
    command_id: str | None
    outcome: str


async def batches(log: LetterLog) -> list[Batch]:
    """All redrives that the topic of dispositions knows, newest first."""
    found: dict[str, Batch] = {}
    async for _, one in all_dispositions(log.reader, log.topics):
        if one.state not in SENT:
            continue
        so_far = found.get(one.batch)
        found[one.batch] = Batch(
            batch=one.batch,
            operator=one.operator,
            note=one.note,
            at=one.at if so_far is None else min(one.at, so_far.at),
            letters=1 if so_far is None else so_far.letters + 1,
        )
    return sorted(found.values(), key=lambda batch: batch.at, reverse=True)


async def batch_letters(log: LetterLog, batch: str) -> AsyncGenerator[BatchLetter | dict[int, Range]]:
    """Yield what each letter of a redrive came to, and last the ranges of the events that were looked at."""
    sent: dict[Place, DeadLetterDisposition] = {
        place: one
        async for place, one in all_dispositions(log.reader, log.topics)
        if one.batch == batch and one.state in SENT
    }
    times: dict[int, int] = {}
    for (partition, _), one in sent.items():
        at = int(one.at.timestamp() * 1000) - CLOCKS_WITHIN_MS
        times[partition] = min(at, times.get(partition, at))
    begins = await events_since(log.reader, log.topics, times)
    ends = await log.reader.ends(log.topics.events, begins)
    spans = {number: Range(begin, max(begin, ends[number])) for number, begin in begins.items()}
    outcomes = await _outcomes(log, spans, [one.command_id for one in sent.values()])
    for place, one in sorted(sent.items()):
        yield BatchLetter(
            letter=f"{place[0]}:{place[1]}",
            command_id=one.command_id,
            outcome=outcomes.get(one.command_id, "open"),
        )
    yield spans


async def _outcomes(
    log: LetterLog, spans: dict[int, Range], command_ids: Iterable[str | None]
) -> dict[str | None, str]:
    wanted = set(command_ids)
    outcomes: dict[str | None, str] = {}
    async for records in log.reader.forwards(log.topics.events, spans):
        for record in records:
            event = read_event(record)
            if event is not None and event.command_id in wanted:
                outcomes[event.command_id] = outcome_of(event)
    return outcomes
