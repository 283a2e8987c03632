"""The HTTP server of all simulated venues: reads a call, counts it, strikes it with a fault or has the venue judge it.

Every venue is under `/<venue>`, `control` under `/_control`. Each connection is a task of aiohttp's; nothing else runs.
"""

import asyncio
import socket
import struct
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any, NamedTuple

from aiohttp import web

from gateway.clock import Clock
from gateway.settings.addresses import is_wildcard, url_host
from gateway.simulator.accounts import SimulatedAccount
from gateway.simulator.binance import BinanceMargin, portfolio, usdm
from gateway.simulator.control import Control
from gateway.simulator.endpoint import Endpoint, SimulatedVenue
from gateway.simulator.exchange import VENUES, Asked, Call, Reply, VenueWord
from gateway.simulator.faults import Effect, Fault, Faults
from gateway.simulator.gate import PUBLISHED, Gate, banned
from gateway.simulator.journal import Entry, Holdings, Journal
from gateway.simulator.okx import Okx
from gateway.simulator.settings import SimulatorSettings
from gateway.simulator.signatures import Holder
from gateway.simulator.ztdx import Ztdx

STOP_PATIENCE = 1.0
BLACK_HOLE_LOOK = 0.05  # how often a held call looks whether its caller is still there
_WITH_RESET = struct.pack("ii", 1, 0)
_NOT_FOUND = Reply(status=404, body=b"<html><body><h1>404 Not Found</h1></body></html>", content_type="text/html")


class _Visit(NamedTuple):
    """What belongs to one admitted call while a fault has it."""

    request: web.BaseRequest
    call: Call
    endpoint: Endpoint
    entry: Entry
    usage: Mapping[str, str]


class Simulator:
    """Imitation venues on one port; their state is the process's."""

    def __init__(self, settings: SimulatorSettings, clock: Clock) -> None:
        self.faults = Faults()
        self.gate = Gate(PUBLISHED, settings.windows, settings.ban_after)
        self.journal = Journal(settings.journal_size)
        self._holdings = Holdings()
        self._venues = _venues(settings.accounts, self._holdings, self.gate)
        self._control = Control(
            accounts=settings.accounts,
            gate=self.gate,
            faults=self.faults,
            journal=self.journal,
            holdings=self._holdings,
            clock=clock,
        )
        self._clock = clock
        self._stopping = asyncio.Event()
        self._runner: web.ServerRunner | None = None
        self._url = ""
        for place, capacity in settings.capacities.items():
            word, _, limit = place.partition(":")
            self.gate.change(self._venues[word].word, limit, capacity, None)

    @property
    def url(self) -> str:
        """Where it is called once started, without a slash at the end."""
        return self._url

    @property
    def port(self) -> int:
        """Where it listens once started."""
        if self._runner is None:
            raise RuntimeError("the simulator is not started")
        return self._runner.addresses[0][1]

    def base_url(self, venue: VenueWord) -> str:
        """What a gateway has as the venue's `base_url`."""
        return f"{self._url}/{venue}"

    def state(self) -> dict[str, str]:
        """The leverage of every lane that was set, by `<venue>:<account>:<lane>`."""
        return self._holdings.all()

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, public_url: str | None = None) -> None:
        """Listen; port 0 takes a free one.

        Args:
            host: where.
            port: where.
            public_url: what `url` is, where callers come by another name.

        Raises:
            OSError: the address is taken, or not ours.
        """
        self._runner = web.ServerRunner(web.Server(self._handle), access_log=None, shutdown_timeout=STOP_PATIENCE)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        called = "127.0.0.1" if is_wildcard(host) else host
        self._url = public_url or f"http://{url_host(called)}:{self.port}"
        self._control.answer_to(self._url)

    async def stop(self) -> None:
        """Let go of the calls that are held, and close."""
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        raw, _, query = request.raw_path.partition("?")
        prefix, _, rest = raw[1:].partition("/")
        if prefix == "_control":
            return await self._control.handle(request, rest)
        # python-okx has a host but no path before /api/v5, so OKX is at the root too.
        venue, path = (self._venues.get(prefix), f"/{rest}") if prefix != "api" else (self._venues["okx"], raw)
        endpoint = venue.endpoints.get((request.method, path)) if venue else None
        if venue is None or endpoint is None:
            return web.Response(status=404, body=_NOT_FOUND.body, content_type=_NOT_FOUND.content_type)
        body = await request.read() if request.can_read_body else b""
        call = Call(
            venue=venue.word,
            method=request.method,
            path=path,
            query=query,
            body=body,
            headers=request.headers,
            ip=request.remote or "",
            server_ms=int((self._clock.wall() + self.faults.skew(venue.word)) * 1000),
        )
        return await self._serve(request, call, venue, endpoint)

    async def _serve(
        self, request: web.BaseRequest, call: Call, venue: SimulatedVenue, endpoint: Endpoint
    ) -> web.StreamResponse:
        now = self._clock.wall()
        sets_leverage = endpoint.purpose == "set_leverage"
        asked = venue.asked(call) if sets_leverage else Asked(account=venue.account_of(call))
        entry = self.journal.open(call.venue, asked, now) if sets_leverage else _unkept(call.venue, asked, now)
        skew = self.faults.skew(call.venue)
        admitted = self.gate.admit(call.venue, endpoint.costs, ip=call.ip, account=asked.account, now=now, skew=skew)
        if admitted.refusal is not None:
            return self._answer(call, entry, admitted.refusal, admitted.headers)
        fault = self.faults.strike(call.venue, asked.account, asked.lane, sets_leverage=sets_leverage)
        if fault is not None:
            return await self._strike(_Visit(request, call, endpoint, entry, admitted.headers), fault)
        return self._answer(call, entry, self._judge(call, endpoint, entry), admitted.headers)

    def _judge(self, call: Call, endpoint: Endpoint, entry: Entry) -> Reply:
        reply = endpoint.answer(call)
        if reply.change is not None:
            self._holdings.apply(call.venue, reply.change)
            entry.applied_at = self._clock.wall()
        return reply

    async def _strike(self, visit: _Visit, fault: Fault) -> web.StreamResponse:
        request, call, endpoint, entry, usage = visit
        effect, seconds = self.faults.kinds[fault.kind].effect, self.faults.seconds(fault)
        entry.verdict = "fault"
        if effect in {"latency", "latency_before"}:
            return self._answer(call, entry, await self._judge_late(visit, effect, seconds), usage)
        if self.faults.applied(fault):
            self._judge(call, endpoint, entry)
        if effect == "black_hole":
            await self._hold(request)
        if effect in {"reset", "black_hole"}:
            return self._drop(request, entry)
        reply = self._ban(call, seconds) if effect == "ban" else self.faults.reply(fault)
        return self._answer(call, entry, reply, usage)

    async def _judge_late(self, visit: _Visit, effect: Effect, seconds: float) -> Reply:
        if effect == "latency_before":
            await self._wait(seconds)
        reply = self._judge(visit.call, visit.endpoint, visit.entry)
        if effect == "latency":
            await self._wait(seconds)
        return reply

    def _ban(self, call: Call, seconds: float) -> Reply:
        self.gate.ban(call.venue, call.ip, self._clock.wall() + seconds)
        return banned(seconds, call.server_ms)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _hold(self, request: web.BaseRequest) -> None:
        while request.transport is not None and not self._stopping.is_set():
            await self._wait(BLACK_HOLE_LOOK)

    def _drop(self, request: web.BaseRequest, entry: Entry) -> web.StreamResponse:
        entry.finished_at = self._clock.wall()
        transport = request.transport
        if transport is not None:
            peer: Any = transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _WITH_RESET)
            transport.abort()
        return web.Response()

    def _answer(self, call: Call, entry: Entry, reply: Reply, usage: Mapping[str, str]) -> web.StreamResponse:
        entry.status, entry.code, entry.verdict = reply.status, reply.code, reply.verdict
        entry.finished_at = self._clock.wall()
        # The Date is the venue's clock, also where that is skewed: portfolio margin tells its time in no other way.
        headers = {"Content-Type": reply.content_type, "Date": formatdate(call.server_ms // 1000, usegmt=True)}
        return web.Response(status=reply.status, body=reply.body, headers=headers | dict(usage) | dict(reply.headers))


def _venues(accounts: tuple[SimulatedAccount, ...], holdings: Holdings, gate: Gate) -> Mapping[str, SimulatedVenue]:
    holders: dict[VenueWord, dict[str, Holder]] = {word: {} for word in VENUES}
    for account in accounts:
        holders[account.venue][account.api_key] = Holder(account)
    venues: tuple[SimulatedVenue, ...] = (
        BinanceMargin(holders["binance_margin"]),
        usdm(holders["binance_usdm"], holdings, gate),
        portfolio(holders["binance_portfolio"], holdings),
        Okx(holders["okx"], holdings),
        Ztdx(holders["ztdx"], holdings, gate),
    )
    return {venue.word: venue for venue in venues}


def _unkept(venue: VenueWord, asked: Asked, now: float) -> Entry:
    """Calls that set no leverage are not in the journal."""
    return Entry(seq=0, venue=venue, account=asked.account, lane="", value="0", received_at=now)
