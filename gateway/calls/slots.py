"""Room for so many calls at once at one venue, shared such that no account can take all of it.

An account may hold as many slots as are still free: alone it gets half of them, and where some accounts hold theirs for
long, because nobody answers, the next still finds room (Choudhury and Hahne, "Dynamic queue length thresholds for
shared-memory packet switches", 1998). Before it, a permit; after it, the call.
"""

import asyncio
from collections import Counter, OrderedDict, deque


class Slots:
    """The slots of one venue; accounts that wait take turns, each one's calls go in the order of their arrival."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._open = count
        self._taken = 0
        self._held: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    def narrow(self) -> None:
        """From now on one call at a time; those under way stay."""
        self._open = 1

    def widen(self) -> None:
        """From now on all slots may be taken again."""
        if self._open < self._count:
            self._open = self._count
            self._serve_all()

    async def take(self, account: str) -> None:
        """Wait for a slot; cancelled, none is kept."""
        if account not in self._waiting and self._has_room(account):
            self._hold(account)
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(account, deque()).append(future)
        try:
            await future
        except BaseException:
            if future.done() and not future.cancelled():
                self.give_back(account)
            raise

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
        while line and (line[0].done() or self._has_room(account)):
            future = line.popleft()
            if not future.done():
                self._hold(account)
                future.set_result(None)
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
