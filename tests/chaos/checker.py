"""Proves the contract's promises on a history, or says which are broken, with the shortest evidence and the seed."""

import math
from collections.abc import Sequence

from tests.chaos import rules_answers, rules_lanes, rules_records
from tests.chaos.history import History, Place
from tests.chaos.story import Story
from tests.chaos.violations import Kind, Violation

__all__ = ["Violation", "check", "report", "unanswered"]


def check(
    history: History,
    *,
    latest_wins: bool = True,
    call_timeout: float = math.inf,
    overlap_allowance: float = 0.0,
    expiry_allowance: float = 0.25,
    budget_kept: bool = False,
    static_grace: float = 0.0,
) -> list[Violation]:
    """Everything that breaks a promise; an empty list is the proof.

    Args:
        history: a finished run: no gateway is running, and all transactions are ended.
        latest_wins: the gateway's setting; where it is off no command may be superseded.
        call_timeout: seconds after which the gateway gives a call up, however long the venue works on.
        overlap_allowance: seconds by which the venue may see a dropped connection late.
        expiry_allowance: seconds that the way from the gateway's last look at the clock to the venue's may cost.
        static_grace: seconds for which a static member may not know that another process has its id.
        budget_kept: whether a throttled call is a violation, as where nothing but the gateway spends the budget.
    """
    story = Story(history)
    found = [
        *rules_answers.one_answer(story),
        *rules_answers.nothing_else(story),
        *rules_answers.same_partition(story),
        *rules_answers.agreement(story),
        *rules_answers.dead_letters(story),
        *rules_answers.superseded(story, latest_wins=latest_wins),
        *rules_answers.answers_in_order(story),
        *rules_answers.state(story),
        *rules_records.event_ids(story),
        *rules_records.trace_passed_on(story),
        *rules_records.error_headers(story),
        *rules_records.letters_in_time(story),
        *rules_records.all_or_nothing(story),
        *rules_records.state_in_order(story),
        *rules_lanes.calls_of_somebody(story),
        *rules_lanes.no_overlap(story, call_timeout=call_timeout, allowance=overlap_allowance),
        *rules_lanes.in_command_order(story),
        *rules_lanes.never_after_expiry(story, allowance=expiry_allowance),
        *rules_lanes.never_after_its_answer(story, allowance=expiry_allowance),
        *rules_lanes.never_sent(story),
        *rules_lanes.never_applied(story),
        *rules_lanes.only_the_owner(story, static_grace=static_grace),
        *rules_lanes.attempts(story),
        *rules_lanes.really_applied(story),
        *rules_lanes.final_values(story),
    ]
    return found + (list(rules_lanes.within_budget(story)) if budget_kept else [])


def report(history: History, violations: Sequence[Violation], *, at_most: int = 5) -> str:
    """What to print: how many of what, some of each with their evidence, and the seed that makes them again."""
    kinds: dict[Kind, int] = {}
    for each in violations:
        kinds[each.kind] = kinds.get(each.kind, 0) + 1
    counts = ", ".join(f"{count} x {kind}" for kind, count in kinds.items()) or "nothing broken"
    head = f"seed {history.seed}: {len(history.commands)} commands, {len(history.calls)} calls: {counts}"
    shortest = sorted(violations, key=lambda each: len(each.evidence))
    first = [next(each for each in shortest if each.kind == kind) for kind in kinds]
    others = [each for each in shortest if all(each is not one for one in first)]
    return "\n".join([head, *map(str, [*first, *others[: max(0, at_most - len(first))]])])


def unanswered(history: History) -> list[Place]:
    """The command records that still wait for their answer: a harness lets the run go on until there are none."""
    story = Story(history)
    return [
        asked.place
        for asked in story.asked.values()
        if not (asked.told or asked.repeats or (asked.command is None and asked.dead_letters))
    ]
