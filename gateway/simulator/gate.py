"""The venues' published limits as data, and the gate that counts every call against them, throttles and bans.

The server asks the gate before a venue judges a call; the control pages change limits and add second spenders.
Sources: the endpoints' pages, exchangeInfo `rateLimits`, and the general-info pages ("HTTP return codes").
"""

from typing import Literal

import msgspec
from msgspec import Struct

from gateway.simulator.exchange import Reply, VenueWord
from gateway.simulator.windows import Meter, Windows

MINUTE = 60.0
FIRST_BAN, LONGEST_BAN = 120.0, 259_200.0


class SimulatedLimit(Struct, frozen=True, kw_only=True):
    """At most `capacity` weight in `window` seconds, for each address or account.

    Attributes:
        header: the answer's header that tells the weight used in the current wall-clock window, if any.
    """

    name: str
    scope: Literal["ip", "account"]
    capacity: int
    window: float
    header: str | None = None


class Cost(Struct, frozen=True):
    """What a call takes of one limit."""

    limit: str
    weight: int


class Pass(Struct, frozen=True, kw_only=True):
    """The gate's answer: usage headers for every reply, and the refusal if there is one."""

    headers: dict[str, str]
    refusal: Reply | None = None


class MeterReading(Struct, frozen=True, kw_only=True):
    """One limit's count for one scope, for the control pages."""

    venue: VenueWord
    limit: str
    key: str
    capacity: int
    window: float
    used: int
    calls: int
    over: int


_MBX = "X-MBX-USED-WEIGHT-1M"
PUBLISHED: dict[VenueWord, tuple[SimulatedLimit, ...]] = {
    "binance_margin": (
        SimulatedLimit(
            name="uid_weight", scope="account", capacity=180_000, window=MINUTE, header="X-SAPI-USED-UID-WEIGHT-1M"
        ),
        SimulatedLimit(name="ip_calls", scope="ip", capacity=1, window=MINUTE),
        SimulatedLimit(name="spot_ip_weight", scope="ip", capacity=6000, window=MINUTE, header=_MBX),
    ),
    "binance_usdm": (SimulatedLimit(name="ip_weight", scope="ip", capacity=2400, window=MINUTE, header=_MBX),),
    "binance_portfolio": (SimulatedLimit(name="ip_weight", scope="ip", capacity=6000, window=MINUTE, header=_MBX),),
    "okx": (
        SimulatedLimit(name="uid_set_leverage", scope="account", capacity=20, window=2.0),
        SimulatedLimit(name="uid_leverage_info", scope="account", capacity=20, window=2.0),
        SimulatedLimit(name="uid_config", scope="account", capacity=5, window=2.0),
        SimulatedLimit(name="ip_time", scope="ip", capacity=10, window=2.0),
    ),
    "ztdx": (SimulatedLimit(name="ip_weight", scope="ip", capacity=2400, window=MINUTE),),
}


class _Ban:
    """What one address has earned at one venue."""

    def __init__(self) -> None:
        self.ignored = 0
        self.throttled_until = 0.0
        self.banned_until = 0.0
        self.is_earned = True
        self.length = FIRST_BAN


class Gate:
    """All meters and bans; times are seconds since 1970 UTC as the caller reads them."""

    def __init__(self, limits: dict[VenueWord, tuple[SimulatedLimit, ...]], windows: Windows, ban_after: int) -> None:
        self.windows: Windows = windows
        self._ban_after = ban_after
        self._limits = {(venue, limit.name): limit for venue, group in limits.items() for limit in group}
        self._meters: dict[tuple[VenueWord, str, str], Meter] = {}
        self._bans: dict[tuple[VenueWord, str], _Ban] = {}

    def admit(
        self, venue: VenueWord, costs: tuple[Cost, ...], *, ip: str, account: str, now: float, skew: float
    ) -> Pass:
        """Count a call against all its limits; an account limit counts nothing where no account is known."""
        ban = self._bans.get((venue, ip))
        if ban is not None and ban.banned_until > now:
            refusal = _banned(ban.banned_until, now, skew)
            verdict = "banned" if ban.is_earned else "fault"
            return Pass(headers={}, refusal=msgspec.structs.replace(refusal, verdict=verdict))
        headers: dict[str, str] = {}
        wait = 0.0
        for cost in costs:
            limit = self._limits[venue, cost.limit]
            key = ip if limit.scope == "ip" else account
            if not key:
                continue
            meter = self._meter(venue, limit.name, key)
            wait = max(wait, meter.charge(cost.weight, now, limit.window, limit.capacity, self.windows))
            if limit.header:
                headers[limit.header] = str(meter.used(now, limit.window))
        return Pass(headers=headers, refusal=self._refusal(venue, ip, wait, now, skew) if wait else None)

    def change(self, venue: VenueWord, name: str, capacity: int | None, window: float | None) -> SimulatedLimit:
        """Another size for a limit from now on; KeyError where there is no such limit."""
        limit = self._limits[venue, name]
        changed = msgspec.structs.replace(limit, capacity=capacity or limit.capacity, window=window or limit.window)
        self._limits[venue, name] = changed
        return changed

    def spend(self, venue: VenueWord, name: str, key: str, per_second: float, now: float) -> None:
        """A second spender on this limit of this address or account; KeyError where there is no such limit."""
        limit = self._limits[venue, name]
        self._meter(venue, limit.name, key).spend(per_second, now)

    def ban(self, venue: VenueWord, ip: str, until: float) -> None:
        """Ban an address that has not earned it, so that who meets it is to blame for nothing; a time past lifts it."""
        ban = self._bans.setdefault((venue, ip), _Ban())
        ban.banned_until, ban.is_earned = until, False

    def of(self, venue: VenueWord) -> tuple[SimulatedLimit, ...]:
        """The venue's limits as they now are."""
        return tuple(limit for (word, _), limit in self._limits.items() if word == venue)

    def readings(self, now: float) -> tuple[MeterReading, ...]:
        """Every meter that was ever used."""
        return tuple(self._reading(*place, meter, now) for place, meter in self._meters.items())

    def _meter(self, venue: VenueWord, name: str, key: str) -> Meter:
        place = (venue, name, key)
        meter = self._meters.get(place)
        if meter is None:
            meter = self._meters[place] = Meter()
        return meter

    def _reading(self, venue: VenueWord, name: str, key: str, meter: Meter, now: float) -> MeterReading:
        limit = self._limits[venue, name]
        return MeterReading(
            venue=venue,
            limit=name,
            key=key,
            capacity=limit.capacity,
            window=limit.window,
            used=meter.used(now, limit.window),
            calls=meter.calls,
            over=meter.over,
        )

    def _refusal(self, venue: VenueWord, ip: str, wait: float, now: float, skew: float) -> Reply:
        """429; 418 and a ban for an address that has gone on calling through too many of them (Binance and ZTDX)."""
        if venue == "okx":
            return too_many_okx(429)
        ban = self._bans.setdefault((venue, ip), _Ban())
        ban.ignored = ban.ignored + 1 if now < ban.throttled_until else 0
        ban.throttled_until = max(ban.throttled_until, now + wait)
        if ban.ignored < self._ban_after:
            return too_many(wait)
        ban.ignored = 0
        ban.banned_until, ban.is_earned = now + ban.length, True
        ban.length = min(ban.length * 2, LONGEST_BAN)
        return _banned(ban.banned_until, now, skew)


def too_many(retry_after: float) -> Reply:
    """Binance and ZTDX: 429."""
    text = "Too many requests; current limit of IP is reached. Please use the websocket for live updates."
    return Reply(
        status=429,
        body=msgspec.json.encode({"code": -1003, "msg": text}),
        headers={"Retry-After": _whole_seconds(retry_after)},
        code="-1003",
        verdict="throttled",
    )


def too_many_okx(status: int) -> Reply:
    """OKX: 50011, with 429 or with 200; it tells no time."""
    body = {"code": "50011", "msg": "Rate limit reached. Please refer to API docs and throttle requests accordingly."}
    return Reply(status=status, body=msgspec.json.encode({**body, "data": []}), code="50011", verdict="throttled")


def banned(seconds: float, server_ms: int) -> Reply:
    """418 with the end of the ban in its text."""
    until = server_ms + int(seconds * 1000)
    return Reply(
        status=418,
        body=msgspec.json.encode({"code": -1003, "msg": f"Way too many requests; IP banned until {until}."}),
        headers={"Retry-After": _whole_seconds(seconds)},
        code="-1003",
        verdict="banned",
    )


def _banned(until: float, now: float, skew: float) -> Reply:
    return banned(until - now, round((now + skew) * 1000))


def _whole_seconds(seconds: float) -> str:
    return str(max(0, -int(-seconds // 1)))
