"""Room for so many calls at once at one venue, shared such that no account can take all of it.

An account may hold as many slots as are still free: alone it gets half of them, and where some accounts hold theirs for
long, because nobody answers, the next still finds room (Choudhury and Hahne, "Dynamic queue length thresholds for
shared-memory packet switches", 1998). Before it, a permit; after it, the call.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Literal


class SlotPlace:
    """A place in an account's line; that its slot is there is told once, in a turn of the loop of its own."""

    __slots__ = ("_account", "_ready", "_slots", "state")

    def __init__(self, slots: "Slots", account: str, ready: Callable[[], None]) -> None:
        self._slots = slots
        self._account = account
        self._ready = ready
        self.state: Literal["waits", "holds", "left"] = "waits"

    def hold(self) -> None:
        """The slot is there."""
        self.state = "holds"
        asyncio.get_running_loop().call_soon(self._tell)

    def leave(self) -> None:
        """Wait no more; a slot that is there is given back."""
        held, self.state = self.state == "holds", "left"
        if held:
            self._slots.give_back(self._account)

    def _tell(self) -> None:
        if self.state == "holds":
            self._ready()


class Slots:
    """The slots of one venue; accounts that wait take turns, each one's calls go in the order of their arrival."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._open = count
        self._taken = 0
        self._held: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[SlotPlace]] = OrderedDict()

    def narrow(self) -> None:
        """From now on one call at a time; those under way stay."""
        self._open = 1

    def widen(self) -> None:
        """From now on all slots may be taken again."""
        if self._open < self._count:
            self._open = self._count
            self._serve_all()

    def line_up(self, account: str, ready: Callable[[], None]) -> SlotPlace | None:
        """Take a slot, and None; or a place in line, and `ready` is told when it holds one."""
        if account not in self._waiting and self._has_room(account):
            self._hold(account)
            return None
        place = SlotPlace(self, account, ready)
        self._waiting.setdefault(account, deque()).append(place)
        return place

    def give_back(self, account: str) -> None:
        """The call is over, or was not made."""
        self._taken -= 1
        self._held[account] -= 1
        if not self._held[account]:
            del self._held[account]
        self._serve_all()

    def _serve_all(self) -> None:
        for waiting in tuple(self._waiting):
            self._serve(waiting)

    def _serve(self, account: str) -> None:
        line = self._waiting[account]
        served = False
        while line and (line[0].state == "left" or self._has_room(account)):
            place = line.popleft()
            if place.state == "waits":
                self._hold(account)
                place.hold()
                served = True
        if not line:
            del self._waiting[account]
        elif served:
            self._waiting.move_to_end(account)

    def _has_room(self, account: str) -> bool:
        return self._held[account] < self._open - self._taken

    def _hold(self, account: str) -> None:
        self._taken += 1
        self._held[account] += 1
