"""The simulator's own page and API under `/_control`: faults, limits, journal, state.

`server` hands every request under that path over; nothing here is part of any venue.
"""

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from aiohttp.hdrs import HOST, ORIGIN
from msgspec import Struct

from gateway.clock import Clock
from gateway.settings.addresses import urlsplit_or_none
from gateway.simulator.accounts import SimulatedAccount
from gateway.simulator.exchange import VENUES, VenueWord
from gateway.simulator.faults import Fault, Faults
from gateway.simulator.gate import Gate
from gateway.simulator.journal import Holdings, Journal
from gateway.simulator.page import render
from gateway.simulator.windows import Windows

PAGE_ENTRIES = 10_000
FORM = "application/x-www-form-urlencoded"


class LimitChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; None leaves it.

    Attributes:
        windows: how all limits are counted from now on.
        others_per_second: a second spender of this limit at `key`: an address, or an account's name.
        ban_seconds: bans `key` at the venue; 0 lifts the ban.
    """

    venue: VenueWord | None = None
    limit: str | None = None
    capacity: int | None = None
    window: float | None = None
    windows: Windows | None = None
    others_per_second: float | None = None
    ban_seconds: float | None = None
    key: str = "127.0.0.1"


class Control:
    """Answers under `/_control`."""

    def __init__(
        self,
        *,
        accounts: Sequence[SimulatedAccount],
        gate: Gate,
        faults: Faults,
        journal: Journal,
        holdings: Holdings,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._gate = gate
        self._faults = faults
        self._journal = journal
        self._holdings = holdings
        self._clock = clock
        self._host = "localhost"

    def answer_to(self, url: str) -> None:
        """Say by which URL the simulator is called, now that it is known."""
        self._host = urlsplit(url).hostname or self._host

    async def handle(self, request: web.BaseRequest, path: str) -> web.Response:
        """One request; `path` is what follows `/_control/`."""
        if foreign := self._foreign(request):
            return _json({"error": foreign}, 403)
        room, _, name = path.partition("/")
        try:
            if request.method == "GET":
                return self._page() if not room else _json(self._told(room, request.query))
            if room == "faults":
                return _json(await self._change_faults(request, name))
            if room == "limits":
                self._change_limit(msgspec.convert(await _fields(request), LimitChange, strict=False))
                return _json(self._limits())
        except (ValueError, KeyError) as wrong:  # msgspec's errors are ValueErrors
            return _json({"error": str(wrong)}, 400)
        return _json({"error": "GET /_control/ tells what there is"}, 404)

    def _foreign(self, request: web.BaseRequest) -> str | None:
        """Why this may be a page of somebody else in the browser of who runs this; None where it is not.

        Such a page cannot choose the Origin that its browser says, nor have a name that is ours.
        """
        origin, named = request.headers.get(ORIGIN), request.headers.get(HOST)
        if origin not in (None, f"http://{named}", f"https://{named}"):
            return "pages of another origin may not come here"
        split = urlsplit_or_none(f"http://{request.headers.get(HOST, self._host)}")
        if split is None or (split[1] not in ("localhost", self._host) and not _is_address(split[1])):
            return f"is called {self._host} here; --public-url gives it another name"
        if request.method == "POST" and request.content_type not in (FORM, "application/json"):
            return "expected Content-Type application/json, or a form's"
        return None

    def _page(self) -> web.Response:
        page = render(self._gate, self._faults, self._journal, self._holdings, self._clock.wall())
        return web.Response(text=page, content_type="text/html")

    def _told(self, room: str, query: Mapping[str, str]) -> object:
        rooms: Mapping[str, Callable[[], object]] = {
            "journal": lambda: self._calls(int(query.get("since", "0"))),
            "state": self._holdings.all,
            "faults": lambda: {"kinds": list(self._faults.kinds.values()), "active": list(self._faults)},
            "accounts": lambda: [{"name": account.name, "venue": account.venue} for account in self._accounts],
            "limits": self._limits,
        }
        if room not in rooms:
            raise ValueError("GET /_control/ tells what there is")
        return rooms[room]()

    def _calls(self, since: int) -> dict[str, object]:
        entries, following = self._journal.page(since, PAGE_ENTRIES)
        return {"entries": entries, "next": following}

    def _limits(self) -> dict[str, object]:
        limits = {venue: self._gate.of(venue) for venue in VENUES}
        return {"windows": self._gate.windows, "limits": limits, "readings": self._gate.readings(self._clock.wall())}

    async def _change_faults(self, request: web.BaseRequest, name: str) -> object:
        if request.method == "POST":
            return self._faults.add(msgspec.convert(await _fields(request), Fault, strict=False))
        if name:
            return {"removed": self._faults.remove(int(name))}
        self._faults.clear()
        return {"removed": True}

    def _change_limit(self, change: LimitChange) -> None:
        now = self._clock.wall()
        if change.windows is not None:
            self._gate.windows = change.windows
        if change.venue is not None and change.ban_seconds is not None:
            self._gate.ban(change.venue, change.key, now + change.ban_seconds)
        if change.venue is not None and change.limit is not None:
            self._gate.change(change.venue, change.limit, change.capacity, change.window)
            if change.others_per_second is not None:
                self._gate.spend(change.venue, change.limit, change.key, change.others_per_second, now)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _fields(request: web.BaseRequest) -> Mapping[str, object]:
    """The body as JSON or as a form; what a form leaves empty is as if not there."""
    if request.content_type == FORM:
        return {name: value for name, value in (await request.post()).items() if value}
    fields: Any = msgspec.json.decode(await request.read())
    return cast("Mapping[str, object]", fields)


def _json(content: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(content), content_type="application/json")
