"""The rules that a command meets, found without looking at all of them, and what they come to together.

First by account, then by symbol: each exactly, or by the begin of a pattern. What was found is remembered for commands
that are alike: accounts that the same patterns match are one kind, so that it stays flat in the number of accounts.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import reduce

from gateway.policy.rules import ANY, Rule, Rulebook, Rules, matches, names
from schemas import SetLeverage
from schemas.targets import LaneKey, Target, venue_of

REMEMBERED = 20_000  # kinds of command, and accounts


class Met:
    """The rules that a kind of command meets, and the bounds of all of them together.

    Attributes:
        is_bounds_only: neither the lane's past nor other commands matter.
        raising: those that ask what the lane has.
        rated: those that limit how many commands come.
    """

    __slots__ = (
        "_allowed",
        "_largest_step",
        "_maximum",
        "_minimum",
        "_name",
        "_target",
        "is_bounds_only",
        "raising",
        "rated",
        "rules",
    )

    def __init__(self, rules: Rules, target: Target) -> None:
        self.rules = rules
        self._target, self._name = target, target.lane
        self.raising = tuple(rule for rule in rules if rule.needs_value)
        self.is_bounds_only = all(rule.commands_per_hour is None and not rule.needs_value for rule in rules)
        self.rated = tuple(rule for rule in rules if rule.commands_per_hour is not None)
        self._maximum = min((rule.maximum for rule in rules if rule.maximum is not None), default=None)
        self._minimum = max((rule.minimum for rule in rules if rule.minimum is not None), default=None)
        allowed = [frozenset(rule.allowed) for rule in rules if rule.allowed is not None]
        self._allowed = reduce(frozenset[Decimal].intersection, allowed) if allowed else None
        steps = [rule.step_up for rule in self.raising if rule.step_up is not None and not rule.needs_times]
        self._largest_step = min(steps) if steps and len(steps) == len(self.raising) else None

    def lane(self, account: str) -> LaneKey:
        """The lane of an account's command of this kind."""
        return venue_of(self._target), account, self._name

    def lets(self, leverage: Decimal, present: Decimal | None) -> bool:
        """Whether nothing forbids a value where a lane has this one; False too where that has to be looked at."""
        if not self.allows(leverage):
            return False
        if present is None or self.rated:
            return self.is_bounds_only
        return leverage <= present or (self._largest_step is not None and leverage - present <= self._largest_step)

    def allows(self, leverage: Decimal) -> bool:
        """Whether a value is within the bounds of all of them."""
        return (
            (self._maximum is None or leverage <= self._maximum)
            and (self._minimum is None or leverage >= self._minimum)
            and (self._allowed is None or leverage in self._allowed)
        )


class RuleIndex:
    """The rules of one rulebook.

    Attributes:
        asks_past: a rule asks what lanes have or had, or how many commands came.
        horizon: how far back, in seconds.
    """

    def __init__(self, book: Rulebook) -> None:
        self.book = book
        self.asks_past = any(rule.needs_value or rule.commands_per_hour is not None for rule in book.rules)
        self.horizon = max((rule.horizon for rule in book.rules), default=0.0)
        self._places = {rule.name: place for place, rule in enumerate(book.rules)}
        self._by_account: defaultdict[str, _SymbolTable] = defaultdict(_SymbolTable)
        for rule in book.rules:
            self._by_account[rule.account].add(rule)
        self._patterns = [account for account in self._by_account if "*" in account and account != ANY]
        self._groups: dict[str, tuple[str, ...]] = {}
        self._found: dict[tuple[tuple[str, ...], str | None, Target], Met] = {}

    def met(self, command: SetLeverage) -> Met:
        """What a command meets."""
        kind = (self._group(command.account), command.issuer, command.target)
        found = self._found.get(kind)
        if found is None:
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            found = self._found[kind] = Met(
                tuple(sorted(self._find(kind[0], command), key=lambda rule: self._places[rule.name])), command.target
            )
        return found

    def _group(self, account: str) -> tuple[str, ...]:
        """The patterns of accounts, other than `*`, that match one."""
        if not self._patterns:
            return (account,) if account in self._by_account else ()
        group = self._groups.get(account)
        if group is None:
            if len(self._groups) >= REMEMBERED:
                self._groups.clear()
            own = [account] if account in self._by_account else []
            group = self._groups[account] = (*own, *(one for one in self._patterns if matches(one, account)))
        return group

    def _find(self, group: tuple[str, ...], command: SetLeverage) -> Iterator[Rule]:
        venue, said = venue_of(command.target), names(command.target)
        for account in (*group, ANY):
            table = self._by_account.get(account)
            if table is not None:
                yield from (rule for rule in table.find(said) if rule.meets(command, venue))


class _SymbolTable:
    """Rules by their symbol, or by how its pattern begins."""

    def __init__(self) -> None:
        self._exact: defaultdict[str, list[Rule]] = defaultdict(list)
        self._by_begin: defaultdict[str, list[Rule]] = defaultdict(list)

    def add(self, rule: Rule) -> None:
        begin, star, _ = rule.symbol.partition("*")
        (self._by_begin if star else self._exact)[begin].append(rule)

    def find(self, said: Iterable[str]) -> Iterator[Rule]:
        """Rules that may match one of these names, each once, and some that do not."""
        found = {rule.name: rule for rule in self._by_begin.get("", ())}
        for name in said:
            tried = [*self._exact.get(name, ())]
            if self._by_begin:
                tried += [rule for end in range(1, len(name) + 1) for rule in self._by_begin.get(name[:end], ())]
            found |= {rule.name: rule for rule in tried}
        return iter(found.values())
