"""All there is of one letter: its event, what was done with it, what its lane has now and was asked since."""

from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Struct

from gateway.client.dead_letters.dispositions import all_dispositions
from gateway.client.dead_letters.known import Known, LaterCommand
from gateway.client.dead_letters.letters import Letter, LetterRow
from gateway.client.dead_letters.log import LetterLog, Place
from schemas import Event, LeverageRejected, SetLeverage, Timestamp
from schemas.dead_letter import LetterErrors
from schemas.disposition import DeadLetterDisposition


class LaneNowRow(Struct, frozen=True, kw_only=True):
    """What the letter's lane has now, and the newest of what it was asked after the letter's command."""

    leverage: Decimal | None
    changed_at: Timestamp | None
    asked_since: list[LaterCommand]


class LetterDetail(LetterRow, frozen=True, kw_only=True, tag_field="type", tag="DeadLetter"):
    """A letter as `show` has it; the row of a list, and what stands behind it."""

    command: SetLeverage | None
    undecodable_because: str | None
    errors: LetterErrors
    redrives: int
    batch: str | None
    event: Event | None
    disposition: DeadLetterDisposition | None
    lane_now: LaneNowRow | None


async def letter_detail(log: LetterLog, place: Place) -> LetterDetail | None:
    """Look up all of one letter; None where it is not on the topic."""
    letter = (await log.at([place], log.read)).get(place)
    if letter is None:
        return None
    disposition = None
    async for where, one in all_dispositions(log.reader, log.topics, [place[0]]):
        disposition = one if where == place else disposition
    event = await log.event_of(letter)
    code = event.venue_code if isinstance(event, LeverageRejected) else None
    row: dict[str, Any] = msgspec.structs.asdict(
        LetterRow.of(letter, state="open" if disposition is None else disposition.state, code=code)
    )
    return LetterDetail(
        **row,
        command=letter.command,
        undecodable_because=letter.undecodable_because,
        errors=letter.errors,
        redrives=letter.redrives,
        batch=letter.batch,
        event=event,
        disposition=disposition,
        lane_now=await _lane_now(log, letter),
    )


async def _lane_now(log: LetterLog, letter: Letter) -> LaneNowRow | None:
    if letter.lane_key is None:
        return None
    known = await Known.open(log.reader, log.topics, [letter], with_history=True)
    lane = known.lane_of(letter)
    return LaneNowRow(leverage=lane.leverage, changed_at=lane.changed_at, asked_since=known.later_of(letter))
