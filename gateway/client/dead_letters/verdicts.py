"""What would become of a letter that is sent again now: one verdict each, against what its lane has. Pure."""

from decimal import Decimal
from typing import Literal, NamedTuple

from msgspec import Struct

from gateway.client.dead_letters.letters import Letter
from gateway.client.lanes import LaneKey
from schemas import SetLeverage, Timestamp
from schemas.disposition import DispositionState

Verdict = Literal[
    "apply", "obsolete", "already_set", "expired", "undecodable", "unknown_account", "came_back", "done", "gone"
]
NEVER_FORCED: frozenset[Verdict] = frozenset({"done", "gone", "undecodable"})


class Judgement(NamedTuple):
    """A verdict and why, for people."""

    verdict: Verdict
    why: str


GONE = Judgement("gone", "it is no longer on the topic")


class LaneNow(Struct, frozen=True, kw_only=True):
    """What a lane has, how far its commands are answered, and the newest of them."""

    leverage: Decimal | None = None
    changed_at: Timestamp | None = None
    answered_offset: int = -1  # of the newest command of the lane that is answered
    answered_by: str | None = None
    asked_offset: int = -1  # of the newest command of the lane
    asked_by: str | None = None


class Rules(Struct, frozen=True, kw_only=True):
    """What the operator and the settings allow."""

    max_redrives: int = 3
    has_new_expiry: bool = False


def judge(
    letter: Letter, *, state: DispositionState, lane: LaneNow, newer_letter: str | None, now: Timestamp, rules: Rules
) -> list[Judgement]:
    """Return everything that speaks against sending this letter, weightiest first; `apply` alone where nothing does.

    `newer_letter`: another letter of the same lane that is to be sent after it.
    """
    if state != "open":
        return [Judgement("done", f"it is {state} already")]
    command = letter.command
    if command is None:
        return [Judgement("undecodable", letter.undecodable_because or "it is no command")]
    said: list[Judgement] = []
    if letter.redrives >= rules.max_redrives:
        said.append(Judgement("came_back", f"it was redriven {letter.redrives} times, dead_letters.max_redrives"))
    if letter.errors.reason == "unknown_account":
        said.append(Judgement("unknown_account", f"the gateway had no keys of {command.account} for its venue"))
    if command.expires_at is not None and command.expires_at <= now and not rules.has_new_expiry:
        said.append(Judgement("expired", f"its expires_at {command.expires_at} is past"))
    said += _against_lane(letter, command, lane, newer_letter)
    return said or [Judgement("apply", "nothing speaks against it")]


def _against_lane(letter: Letter, command: SetLeverage, lane: LaneNow, newer_letter: str | None) -> list[Judgement]:
    said: list[Judgement] = []
    offset = letter.command_offset
    if offset is not None and lane.answered_offset > offset:
        said.append(Judgement("obsolete", f"a newer command of its lane is answered: {lane.answered_by}"))
    elif offset is not None and lane.asked_offset > offset:
        said.append(Judgement("obsolete", f"a newer command of its lane waits for its answer: {lane.asked_by}"))
    elif newer_letter is not None:
        said.append(Judgement("obsolete", f"a newer letter of its lane is in the plan: {newer_letter}"))
    if lane.leverage is not None and lane.leverage == command.leverage:
        said.append(Judgement("already_set", f"the lane has {lane.leverage} already"))
    return said


def decide(judgements: list[Judgement], forced: frozenset[Verdict]) -> tuple[Judgement, str | None]:
    """Return what is to be done, and which verdict was overridden for it."""
    left = [one for one in judgements if one.verdict not in forced or one.verdict in NEVER_FORCED]
    if left:
        return left[0], None
    return Judgement("apply", f"forced: {judgements[0].why}"), judgements[0].verdict


def newest_of_lanes(letters: list[Letter]) -> dict[LaneKey, Letter]:
    """The newest of these letters in each lane."""
    newest: dict[LaneKey, Letter] = {}
    for letter in letters:
        key = letter.lane_key
        if key is not None and (key not in newest or newest[key].offset < letter.offset):
            newest[key] = letter
    return newest
