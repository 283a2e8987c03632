"""The plan of a redrive: a file that pins letters by partition and offset, with a verdict and its reason each."""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from gateway.client.dead_letters.verdicts import Judgement, Verdict
from schemas import Timestamp
from schemas.codec import read_timestamp, write_timestamp


class PlanError(Exception):
    """Raised where a file is no plan, or one for other topics; its text says what would be right."""


class LetterVerdict(Struct, frozen=True, kw_only=True, tag_field="type", tag="Verdict"):
    """What would become of one letter, as `--json` has it too."""

    letter: str
    verdict: Verdict
    why: str

    @classmethod
    def of(cls, place: str, judgement: Judgement) -> "LetterVerdict":
        """Pin a judgement to its letter."""
        return cls(letter=place, verdict=judgement.verdict, why=judgement.why)


class PlannedLetter(LetterVerdict, frozen=True, kw_only=True, tag_field="type", tag="Verdict"):
    """A letter of a plan: its command tells whether what is at its place later is still the same letter."""

    command_id: str | None = None


class Plan(Struct, frozen=True, kw_only=True, tag_field="type", tag="RedrivePlan"):
    """The letters that were chosen, oldest first in each partition; what arrives later is not in it."""

    version: Literal[1] = 1
    batch: str
    made_at: Timestamp
    cluster: str
    topic: str
    letters: list[PlannedLetter]


_decoder = msgspec.json.Decoder(Plan, dec_hook=read_timestamp)


def write_plan(plan: Plan) -> bytes:
    """Write a plan as the file has it: JSON, for people's eyes too."""
    return msgspec.json.format(msgspec.json.encode(plan, enc_hook=write_timestamp), indent=1) + b"\n"


def read_plan(content: bytes) -> Plan:
    """Read a plan's file; PlanError says what is wrong."""
    try:
        plan: Plan = _decoder.decode(content)
        for row in plan.letters:
            parse_place(row.letter)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise PlanError(f"this is no plan that `dead-letters redrive --plan FILE` wrote: {error}") from None
    return plan


def parse_place(text: str) -> tuple[int, int]:
    """`<partition>:<offset>` as two numbers; ValueError where it is something else."""
    partition, _, offset = text.partition(":")
    numbers: list[Any] = [part for part in (partition, offset) if part.isascii() and part.isdigit() and len(part) < 20]  # noqa: PLR2004 - digits of a 64-bit number
    if len(numbers) != 2:  # noqa: PLR2004 - both
        raise ValueError(f"a letter is named partition:offset, as in 3:1042, not {text[:60]!r}")
    return int(partition), int(offset)
