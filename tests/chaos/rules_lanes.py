"""Promises 2, 4, 6 and 8: what the venues saw of each lane. Pure; `checker` runs these and `rules_answers`."""

import math
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from tests.chaos.history import Call, Ownership, Send
from tests.chaos.story import CLOCK_GRAIN, Asked, Story
from tests.chaos.violations import Kind, Violation, call_lines, command_lines, violation

NEVER_SENT = ("invalid", "unknown_account", "policy")
NEVER_APPLIED = ("superseded", "expired")


def calls_of_somebody(story: Story) -> Iterator[Violation]:
    """Every call is what some command of its lane asked for, after it asked."""
    for call in story.nobodys:
        message = f"nobody asked for {call.value} on {call.lane_key} before call #{call.seq}"
        yield violation("call of nobody", message, call_lines(call))


def no_overlap(story: Story, *, call_timeout: float, allowance: float) -> Iterator[Violation]:
    """Calls of one lane never overlap; one that nobody finished ends for the gateway after its timeout.

    One that a simulated venue refuses for its old timestamp is none, as in `never_after_its_answer`.
    """
    for key, calls in story.calls.items():
        latest: Call | None = None
        for call in sorted(calls, key=lambda each: (each.received_at, each.seq)):
            if call.sent_at is not None and call.verdict == "clock":
                continue
            if latest is not None and call.received_at < _end(latest, call_timeout) - allowance:
                message = f"{key}: call #{call.seq} began while #{latest.seq} was open"
                yield violation(
                    "overlap", message, call_lines(latest, call), command_lines(*_owners(story, latest, call))
                )
            if latest is None or _end(call, call_timeout) > _end(latest, call_timeout):
                latest = call


def in_command_order(story: Story) -> Iterator[Violation]:
    """Calls of one lane are taken, and take effect, in the order of its commands."""
    for key, calls in story.calls.items():
        yield from _backwards(story, "calls backwards", f"{key}: received", calls)
        applied = [(call.applied_at, call) for call in calls if call.applied_at is not None]
        in_effect = [call for _, call in sorted(applied, key=lambda pair: (pair[0], pair[1].seq))]
        yield from _backwards(story, "applied backwards", f"{key}: applied", in_effect)


def _backwards(story: Story, kind: Kind, what: str, calls: list[Call]) -> Iterator[Violation]:
    owned = [call for call in calls if call.seq in story.owner_index]
    for earlier, later in pairwise(owned):
        if story.owner_index[later.seq] < story.owner_index[earlier.seq]:
            message = f"{what} #{later.seq} for an older command than #{earlier.seq}"
            yield violation(kind, message, call_lines(earlier, later), command_lines(*_owners(story, earlier, later)))


def never_after_expiry(story: Story, *, allowance: float) -> Iterator[Violation]:
    """No call is received later than its command's `expires_at`, give or take what the way there may cost."""
    for asked in story.asked.values():
        expires_at = None if asked.command is None else asked.command.expires_at
        if expires_at is None:
            continue
        for call in asked.calls:
            late = (call.received_at if call.sent_at is None else call.sent_at) - expires_at.timestamp()
            if late > allowance and not (call.sent_at is not None and call.verdict == "clock"):
                message = f"call #{call.seq} came {late:.3f} s after {asked.place} expired"
                yield violation("sent after expiry", message, call_lines(call), command_lines(asked))


def never_after_its_answer(story: Story, *, allowance: float) -> Iterator[Violation]:
    """No call is received later than its command's answer was written, give or take what the way there may cost.

    One that the venue refuses for its old timestamp is not counted: a process stopped between signing and sending sends
    it when it goes on, nothing of ours can call it back, and the receive window is there to keep it from any effect.
    """
    for asked in story.asked.values():
        if not asked.told:
            continue
        told_at = asked.told[0].record.timestamp_ms / 1000 + CLOCK_GRAIN
        for call in asked.calls:
            late = call.received_at - told_at
            if late > allowance and call.verdict != "clock":
                message = f"call #{call.seq} came {late:.3f} s after {asked.place} was answered"
                yield violation("called after its answer", message, call_lines(call), command_lines(asked))


def only_the_owner(story: Story, *, static_grace: float) -> Iterator[Violation]:
    """A call is sent by whom the group has its partition with (promise 7), where a simulation tells who sent it.

    A static member that was replaced under its own id does not know it for as long as its lease lasts. What the venue
    refuses for its old timestamp is not counted, as in `never_after_its_answer`.
    """
    owners: defaultdict[int, list[Ownership]] = defaultdict(list)
    for one in story.history.owners:
        owners[one.partition].append(one)
    for asked in story.asked.values():
        for call in asked.calls:
            sent_at = call.sent_at
            if sent_at is None or call.verdict == "clock":
                continue
            had = [one for one in owners[asked.place.partition] if one.since <= sent_at]
            allowed = [one.instance for one in had[-1:]]
            while had and had[-1].is_handed_over and had[-1].since > sent_at - static_grace:
                had.pop()
                allowed += [one.instance for one in had[-1:]]
            if call.instance not in allowed:
                message = f"call #{call.seq} for {asked.place} is by {call.instance}, and the owner is {allowed}"
                yield violation("no owner's call", message, call_lines(call), command_lines(asked))


def attempts(story: Story) -> Iterator[Violation]:
    """A change that the venue's answer to a call confirmed has an attempt; one read back by a next owner may have none."""
    for asked in story.asked.values():
        changed = asked.changed
        if changed is not None and changed.certainty == "confirmed" and changed.attempts == 0:
            message = f"{asked.place} is confirmed without an attempt, and the venue saw {len(asked.calls)}"
            yield violation("attempts", message, call_lines(*asked.calls), command_lines(asked))
    if story.history.sends:
        yield from _exact_attempts(story)


class _Tenure(NamedTuple):
    """From when on a process had a partition, until it got it anew."""

    instance: str
    since: float
    until: float

    def count(self, sends: Iterable[Send]) -> range:
        """How many calls it made: those on the wire, and perhaps those that found no connection."""
        mine = [send for send in sends if send.instance == self.instance and self.since <= send.at < self.until]
        return range(sum(send.is_on_the_wire for send in mine), len(mine) + 1)


def _tenures(owners: Iterable[Ownership]) -> dict[int, list[_Tenure]]:
    found: defaultdict[int, list[_Tenure]] = defaultdict(list)
    until: dict[tuple[int, str], float] = {}
    for one in sorted(owners, key=lambda each: -each.since):
        key = (one.partition, one.instance)
        found[one.partition].append(_Tenure(one.instance, one.since, until.get(key, math.inf)))
        until[key] = one.since
    return found


def _exact_attempts(story: Story) -> Iterator[Violation]:
    """An event counts the calls that one owner of its partition tried for it while it was that."""
    sends: defaultdict[tuple[str, Decimal], list[Send]] = defaultdict(list)
    for send in story.history.sends:
        sends[send.lane_key, send.value].append(send)
    tenures = _tenures(story.history.owners)
    for key, commands in story.lanes.items():
        for asked in commands:
            if asked.answer is None or asked.value is None:
                continue
            mine = sends[key, asked.value]
            counts = [one.count(mine) for one in tenures[asked.place.partition]]
            if not any(asked.answer.attempts in count for count in counts):
                made = sorted({(count.start, count.stop - 1) for count in counts})
                message = f"{asked.place} tells of {asked.answer.attempts} attempts, and its owners made {made}"
                yield violation("attempts", message, call_lines(*asked.calls), command_lines(asked))


def never_applied(story: Story) -> Iterator[Violation]:
    """A command that is told as superseded or expired did not change the venue: what was sent in doubt is no such."""
    for asked in story.asked.values():
        applied = [call for call in asked.calls if call.applied_at is not None]
        if asked.reason in NEVER_APPLIED and applied:
            message = f"{asked.place} is told as {asked.reason}, and the venue took it"
            yield violation("applied though refused", message, call_lines(*applied), command_lines(asked))


def never_sent(story: Story) -> Iterator[Violation]:
    """A command that a rule refused cost no call."""
    for asked in story.asked.values():
        if asked.reason in NEVER_SENT and asked.calls:
            message = f"{asked.place} was answered {asked.reason} and sent all the same"
            yield violation("sent though refused", message, call_lines(*asked.calls), command_lines(asked))


def really_applied(story: Story) -> Iterator[Violation]:
    """A LeverageChanged tells of a value that the venue took for this lane, between the command and the telling."""
    for key, commands in story.lanes.items():
        applied = _applied_times(story.calls.get(key, []))
        for asked in commands:
            changed = asked.changed
            if changed is None:
                continue
            since, told = asked.record.timestamp_ms / 1000, asked.told[0].record.timestamp_ms / 1000 + CLOCK_GRAIN
            values = {changed.leverage, changed.requested_leverage}
            if not any(_any_within(applied[value], since, told) for value in values):
                message = f"{asked.place} is told as changed to {changed.leverage}, which {key} was not made by then"
                yield violation("not applied", message, call_lines(*asked.calls), command_lines(asked))


def _applied_times(calls: list[Call]) -> defaultdict[Decimal, list[float]]:
    applied: defaultdict[Decimal, list[float]] = defaultdict(list)
    for call in calls:
        if call.applied_at is not None:
            insort(applied[call.value], call.applied_at)
    return applied


def _any_within(times: list[float], since: float, until: float) -> bool:
    found = bisect_left(times, since)
    return found < len(times) and times[found] <= until


def final_values(story: Story) -> Iterator[Violation]:
    """The venue ends with what the last accepted command asked for, unless a later one ended in doubt, or was deleted."""
    for key, commands in story.lanes.items():
        accepted = [index for index, asked in enumerate(commands) if asked.changed is not None]
        last = accepted[-1] if accepted else -1
        doubtful = [asked for asked in commands[last + 1 :] if asked.reason == "outcome_unknown" or asked.is_gone]
        allowed = _values(commands[last]) if accepted else set()
        allowed |= {asked.command.leverage for asked in doubtful if asked.command}
        touched = [call for call in story.calls.get(key, []) if call.applied_at is not None]
        found = story.history.final.get(key)
        if (accepted and found not in allowed) or (touched and not accepted and not doubtful):
            message = f"{key} ends with {found}, not {' or '.join(map(str, sorted(allowed))) or 'untouched'}"
            shown = commands[last : last + 1] if accepted else []
            yield violation("final value", message, call_lines(*touched[-2:]), command_lines(*shown, *doubtful))


def _values(asked: Asked) -> set[Decimal]:
    changed = asked.changed
    return set() if changed is None else {changed.leverage}


def within_budget(story: Story) -> Iterator[Violation]:
    """The venue never had to throttle or ban."""
    for call in story.history.calls:
        if call.verdict in ("throttled", "banned"):
            yield violation("over budget", f"call #{call.seq} was {call.verdict}", call_lines(call))


def _end(call: Call, call_timeout: float) -> float:
    finished = math.inf if call.finished_at is None else call.finished_at
    return min(finished, call.received_at + call_timeout)


def _owners(story: Story, *calls: Call) -> list[Asked]:
    owners = [story.owner(call) for call in calls]
    return [owner for owner in owners if owner is not None]
