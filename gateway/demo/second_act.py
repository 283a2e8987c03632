"""The second act: a command that its venue could not do is a dead letter; it is seen, judged, sent again, closed.

What an operator does with `leverage-gateway dead-letters`, done with the same library.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from gateway.client.dead_letters import Filters, LetterRow, LetterVerdict, RedriveOptions, open_dead_letters
from gateway.demo.scenario import outcome
from schemas import Event

OPTIONS = RedriveOptions(operator="demo", note="the venue is back")


class RedrivenLetter(NamedTuple):
    """One letter's way; None for what did not come about."""

    seen: LetterRow | None = None
    judged: LetterVerdict | None = None
    batch: str | None = None
    sent: LetterVerdict | None = None
    closed_by: Event | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the letter's new command changed the lane."""
        return self.closed_by is not None and outcome(self.closed_by) == "changed"


async def redrive_letter(
    bootstrap_servers: str, command_id: str, answer_of: Callable[[str], Awaitable[Event | None]]
) -> RedrivenLetter:
    """Send the letter of a command again; `answer_of` waits for the event of its redrive."""
    async with open_dead_letters({"bootstrap_servers": bootstrap_servers}, check_crcs=False) as desk:
        rows = [row async for row in desk.rows(Filters(command_id=[command_id])) if isinstance(row, LetterRow)]
        if not rows:
            return RedrivenLetter()
        plan, _ = await desk.plan(Filters(), [rows[0].letter], max_redrives=OPTIONS.max_redrives)
        sent = [row async for row in desk.apply(plan, OPTIONS)]
    return RedrivenLetter(
        seen=rows[0],
        judged=plan.letters[0],
        batch=plan.batch,
        sent=sent[0] if sent else None,
        closed_by=await answer_of(command_id),
    )
