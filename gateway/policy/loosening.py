"""Which changes of a policy loosen it, so that two operators must sign: whatever is not clearly as tight as before.

A limit is kept where a rule of the new policy meets at least whom the old one met, and is at least as strict in it.
"""

from collections.abc import Iterator

from gateway.policy.rules import ANY, ClosedHours, Rule, Rules


def loosened(old: Rules, new: Rules) -> list[str]:
    """The limits of the old rules that the new ones do not keep, by name; empty where nothing is loosened."""
    return [f"{rule.name}.{limit}" for rule in old for limit in _limits(rule) if not _is_kept(rule, limit, new)]


def _limits(rule: Rule) -> Iterator[str]:
    for limit in ("maximum", "minimum", "allowed", "step_up", "step_up_in_window", "cool_down", "commands_per_hour"):
        if getattr(rule, limit) is not None:
            yield limit
    if rule.closed:
        yield "closed"


def _is_kept(rule: Rule, limit: str, new: Rules) -> bool:
    return any(_covers(other, rule) and _is_as_strict(other, rule, limit) for other in new)


def _covers(other: Rule, rule: Rule) -> bool:
    """Whether every command that `rule` meets is met by `other`, as far as their patterns tell."""
    return all(
        getattr(other, field) in (ANY, getattr(rule, field)) for field in ("venue", "account", "symbol", "issuer")
    )


def _is_as_strict(other: Rule, rule: Rule, limit: str) -> bool:
    theirs, ours = getattr(other, limit), getattr(rule, limit)
    if not theirs:
        return False
    if limit == "closed":
        return all(any(_holds(span, wanted) for span in theirs) for wanted in ours)
    if limit == "allowed":
        return set(theirs) <= set(ours)
    if limit in {"minimum", "cool_down"}:
        return theirs >= ours
    is_as_long = limit != "step_up_in_window" or (other.window or 0) >= (rule.window or 0)
    return theirs <= ours and is_as_long  # who meets more counts more: as strict at the same number an hour


def _holds(span: ClosedHours, wanted: ClosedHours) -> bool:
    if span.period != wanted.period:
        return False
    return (wanted.begin - span.begin) % span.period + wanted.minutes <= span.minutes
