"""The way to one call: past the gate, through the line for a permit, then a slot. Who is on it holds no task.

```
line_up ──▶ shut ──gate opens──▶ in line ──granted──▶ for a slot ──held──▶ gate passes? ──▶ the permit, told once
             ▲                      │frozen: told                              │
             └──────────────────────┴──────────── gives back ◀─────────────────┘
```
Before it, `pipeline.serve` wants to call or `venue_caller` itself; after it, the call.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from gateway.calls.observer import CallObserver
from gateway.calls.slots import Slots
from gateway.clock import Clock
from gateway.limits.limit import Cost
from gateway.limits.permits import Grant, LimitFrozenError, LimitLoweredError, PermitPlace, PermitResult, Permits
from schemas import VenueName


class StalledError(Exception):
    """Too much waits already for a venue that does not answer."""


class CallPermit:
    """The right to start one call now; it must be used or given back."""

    __slots__ = ("_account", "_slots", "granted_at", "permit", "wanted_at")

    def __init__(self, permit: Grant, slots: Slots, account: str, *, wanted_at: float, granted_at: float) -> None:
        self.permit = permit
        self.wanted_at = wanted_at
        self.granted_at = granted_at
        self._account = account
        self._slots: Slots | None = slots

    def give_back(self) -> None:
        """Give everything back: nothing was sent. Without effect once the call is over."""
        self.permit.give_back()
        self.leave()

    def leave(self) -> None:
        """The call is over: its slot is free, its permit settled elsewhere."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.give_back(self._account)


TurnResult = CallPermit | LimitLoweredError | LimitFrozenError | StalledError


class Gate(Protocol):
    """Whether calls of a kind may be made at all just now."""

    def opens_at(self, now: float) -> float:
        """When it is worth trying; monotonic seconds, `now` or earlier where it is open."""
        ...

    def is_stalled(self) -> bool:
        """Whether nobody may wait here any more."""
        ...

    def lets_pass(self, now: float) -> bool:
        """Whether a call with a permit may go now."""
        ...

    def wait(self, go_on: Callable[[], None]) -> Callable[[], object]:
        """Go on when it opens, or is worth a try; what is returned ends the wait."""
        ...


class Lines(NamedTuple):
    """What the calls of one venue wait for."""

    venue: VenueName
    permits: Permits
    slots: Slots
    clock: Clock
    observer: CallObserver


class Turn:
    """One way to one call; it is begun once, with `start` or with `wait`."""

    __slots__ = ("_account", "_begun", "_costs", "_gate", "_grant", "_leave", "_lines", "_ready", "_user")

    def __init__(
        self,
        lines: Lines,
        gate: Gate,
        *,
        account: str,
        user: str,
        costs: Sequence[Cost],
    ) -> None:
        """`account` is who slots are shared between, `user` whom the venue's limits count."""
        self._lines = lines
        self._gate = gate
        self._account = account
        self._user = user
        self._costs = costs
        self._ready: Callable[[TurnResult], None] | None = None
        self._leave: Callable[[], object] | None = None
        self._grant: Grant | None = None
        self._begun = 0.0

    def start(self, ready: Callable[[TurnResult], None]) -> TurnResult | None:
        """Go as far as it goes at once: the result, or None where `ready` will be told it, once, if nobody leaves.

        Raises:
            ValueError: the call costs more than a limit holds, or of a limit that is not there.
        """
        self._ready = ready
        self._begun = self._lines.clock.monotonic()
        return self._go()

    async def wait(self) -> CallPermit:
        """Go all the way; cancelled, nothing is lost.

        Raises:
            StalledError: nobody may wait here any more.
            LimitFrozenError: a long pause of a limit began.
            LimitLoweredError: no window of a limit can hold the call any more.
        """
        future: asyncio.Future[TurnResult] = asyncio.get_running_loop().create_future()

        def tell(told: TurnResult) -> None:
            if not future.done():
                future.set_result(told)
            elif isinstance(told, CallPermit):  # whoever waited was cancelled, and does not know yet
                told.give_back()

        result = self.start(tell)
        try:
            result = await future if result is None else result
        except asyncio.CancelledError:
            self.leave()
            told = future.result() if future.done() and not future.cancelled() else None
            if isinstance(told, CallPermit):
                told.give_back()
            raise
        if isinstance(result, CallPermit):
            return result
        raise result

    def leave(self) -> None:
        """Wait no more and keep nothing; what was told already is whose it was told to."""
        if self._ready is None:
            return
        self._ready = None
        if self._leave is not None:
            self._leave()
        if self._grant is not None:
            self._grant.give_back()

    def _go(self) -> TurnResult | None:
        while True:
            now = self._lines.clock.monotonic()
            if self._gate.is_stalled():
                return StalledError()
            if self._gate.opens_at(now) > now:
                self._leave = self._gate.wait(self._go_on)
                return None
            place = self._lines.permits.line_up(self._lines.venue, self._user, self._costs, self._granted)
            if isinstance(place, PermitPlace):
                self._leave = place.leave
                return None
            self._grant = place
            if not self._take_slot():
                return None
            permit = self._pass()
            if permit is not None:
                return permit

    def _go_on(self) -> None:
        self._leave = None
        result = self._go()
        if result is not None:
            self._end(result)

    def _granted(self, result: PermitResult) -> None:
        self._leave = None
        if isinstance(result, Exception):
            self._end(result)
            return
        self._grant = result
        if self._take_slot():
            self._held()

    def _take_slot(self) -> bool:
        place = self._lines.slots.line_up(self._account, self._held)
        self._leave = None if place is None else place.leave
        return place is None

    def _held(self) -> None:
        self._leave = None
        permit = self._pass()
        if permit is None:
            self._go_on()
        else:
            self._end(permit)

    def _pass(self) -> CallPermit | None:
        """The permit, if it may be used; else it is given back, and the way begins again."""
        grant, self._grant = self._grant, None
        if grant is None:
            raise RuntimeError("a slot comes after a permit")
        now = self._lines.clock.monotonic()
        permit = CallPermit(grant, self._lines.slots, self._account, wanted_at=self._begun, granted_at=now)
        if not (self._gate.is_stalled() or grant.is_frozen()) and self._gate.lets_pass(now):
            self._lines.observer.waited(self._lines.venue, now - self._begun)
            return permit
        permit.give_back()
        return None

    def _end(self, result: TurnResult) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready(result)
