"""The way of each command as spans, made when its answer is committed.

```
process <commands>            from reading the command to the commit of its answer
├─ receive <commands>         from producing it, as its record says, to reading it
├─ wait in lane               until a permit is asked for; after a call, the back-off too
├─ wait for permit            of all limits, a breaker and a slot
├─ sign
├─ POST /fapi/v1/leverage     from the signature to the answer
└─ settle <events>            from knowing the answer to its commit
```
Before it the observer, which has one of these only where traces are wanted; after it `span_export`. What a call was is
kept with its command, and goes with it where that is answered elsewhere.
"""

from collections.abc import Iterator
from typing import Literal, Protocol
from weakref import WeakKeyDictionary

from msgspec import Struct, structs

from gateway.calls.observer import Called
from gateway.clock import Clock
from gateway.pipeline.command import Command
from gateway.telemetry import conventions as names
from schemas import Event, LeverageRejected
from schemas.dead_letter import DEAD_LETTERED
from schemas.topics import Topics

SHORTEST_WAIT = 0.001  # seconds; the first wait is told however short

Kind = Literal["internal", "client", "producer", "consumer"]


class Span(Struct, frozen=True):
    """A stretch of time with a name; times in seconds since 1970 UTC. `error` says in a word what went wrong."""

    name: str
    kind: Kind
    start: float
    end: float
    attributes: names.Attributes = {}
    error: str | None = None


class SpanSink(Protocol):
    """Where spans go."""

    def take(self, traceparent: str | None, root: Span, children: Iterator[Span]) -> None:
        """Take a tree on, or drop it, at once; `children` need not be made. `traceparent` is the root's parent."""
        ...


class Journeys:
    """What happened to each command on its way."""

    def __init__(self, sink: SpanSink, topics: Topics, *, group: str, clock: Clock) -> None:
        self._sink = sink
        self._topics = topics
        self._group = group
        self._clock = clock
        self._calls: WeakKeyDictionary[Command, list[Called]] = WeakKeyDictionary()

    def called(self, fact: Called) -> None:
        """A call ended; kept until its command is answered."""
        if isinstance(fact.about, Command):
            kept = structs.replace(fact, about=None)  # a value that holds its key would keep it for ever
            self._calls.setdefault(fact.about, []).append(kept)

    def answered(self, command: Command, event: Event) -> None:
        """The answer is committed."""
        calls = self._calls.pop(command, [])
        ahead = self._clock.wall() - self._clock.monotonic()
        start, end = command.received_at + ahead, self._clock.wall()
        name, attributes = names.messaging("process", self._topics.commands, command)
        attributes |= names.command_attributes(command, event, self._group)
        reason = event.reason if isinstance(event, LeverageRejected) else None
        root = Span(name, "consumer", start, end, attributes, reason if reason in DEAD_LETTERED else None)
        parent = command.trace_headers[0][1].decode() if command.trace_headers else None
        self._sink.take(parent, root, self._children(command, event, calls, ahead, root))

    def _children(
        self, command: Command, event: Event, calls: list[Called], ahead: float, root: Span
    ) -> Iterator[Span]:
        name, attributes = names.messaging("receive", self._topics.commands, command)
        produced = command.record.timestamp_ms / 1000
        yield Span(name, "client", min(produced, root.start) if produced > 0 else root.start, root.start, attributes)
        since = root.start
        for number, fact in enumerate(calls):
            wanted = max(since, fact.times.wanted + ahead)  # a permit is its lane's: another may have asked for it
            granted = max(wanted, fact.times.granted + ahead)
            if number == 0 or wanted - since >= SHORTEST_WAIT:
                yield Span(names.LANE_WAIT, "internal", since, wanted)
            yield Span(names.PERMIT_WAIT, "internal", wanted, granted)
            yield from _call(fact, ahead)
            since = fact.times.begun + fact.seconds + ahead
        known = max(since, min(event.occurred_at.timestamp(), root.end))
        if not calls or known - since >= SHORTEST_WAIT:
            yield Span(names.LANE_WAIT, "internal", since, known)
        name, attributes = names.messaging("settle", self._topics.events, command)
        yield Span(name, "producer", known, root.end, attributes)


def _call(fact: Called, ahead: float) -> Iterator[Span]:
    times = fact.times
    yield Span(names.SIGN, "internal", times.begun + ahead, times.signed + ahead)
    name, attributes = names.http(fact)
    end = times.begun + fact.seconds + ahead
    yield Span(name, "client", times.signed + ahead, end, attributes, names.error_of(fact))
