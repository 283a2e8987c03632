"""Requests to simulated venues, signed by hand from the venues' pages: no code of the gateway's is in them."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from gateway.simulator import SimulatedAccount, Simulator
from tests.kit.clocks import FakeClock

KEY, SECRET, PASSPHRASE = "k" * 32, "s" * 32, "p" * 12
DESK = "desk-1"
BINANCE = ("binance_margin", "binance_usdm", "binance_portfolio")
PATHS = {
    "binance_margin": "/sapi/v1/margin/max-leverage",
    "binance_usdm": "/fapi/v1/leverage",
    "binance_portfolio": "/papi/v1/um/leverage",
    "ztdx": "/fapi/v1/leverage",
    "okx": "/api/v5/account/set-leverage",
}
GOOD = {
    "binance_margin": "maxLeverage=5",
    "binance_usdm": "symbol=BTCUSDT&leverage=21",
    "binance_portfolio": "symbol=BTCUSDT&leverage=21",
    "ztdx": "symbol=BTCUSDT&leverage=21",
}
SWAP = {"instId": "BTC-USDT-SWAP", "lever": "21", "mgnMode": "cross"}
CALL_LANES = {"binance_margin": "cross-margin", "okx": "cross.contract.BTC-USDT-SWAP"}


def accounts(*okx: SimulatedAccount) -> tuple[SimulatedAccount, ...]:
    """The desk at every venue, by HMAC, and what OKX accounts a test wants beside."""
    binance_like = tuple(
        SimulatedAccount(name=DESK, venue=venue, api_key=KEY, secret=SECRET)  # pyright: ignore[reportArgumentType]
        for venue in (*BINANCE, "ztdx")
    )
    return (*binance_like, okx_account(DESK, api_key=KEY), *okx)


def okx_account(name: str, **modes: Any) -> SimulatedAccount:
    """An OKX account; its name is its key unless told."""
    known: dict[str, Any] = {"name": name, "venue": "okx", "api_key": name, "secret": SECRET, "passphrase": PASSPHRASE}
    return SimulatedAccount(**(known | modes))


def hex_hmac(payload: str | bytes, secret: str = SECRET) -> str:
    text = payload.encode() if isinstance(payload, str) else payload
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def signed(query: str, body: bytes = b"", secret: str = SECRET) -> str:
    """A query with its signature at the end, over the query's and the body's bytes."""
    return f"{query}&signature={hex_hmac(query.encode() + body, secret)}"


def quoted_base64(signature: bytes) -> str:
    return quote(base64.b64encode(signature).decode(), safe="")


class Answer:
    """A status, the body's text, its JSON if it is any, and the headers."""

    def __init__(self, status: int, text: str, headers: Any) -> None:
        self.status = status
        self.text = text
        self.headers = headers

    @property
    def tree(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> int:
        """The venue's code as a number; 0 where there is none."""
        return int(self.tree.get("code", 0))


class Caller:
    """Somebody at a keyboard with curl."""

    def __init__(self, simulator: Simulator, http: aiohttp.ClientSession, clock: FakeClock) -> None:
        self.simulator = simulator
        self.http = http
        self.clock = clock

    @property
    def now_ms(self) -> int:
        return round(self.clock.wall() * 1000)

    async def send(self, venue: str, method: str, target: str, *, body: bytes = b"", headers: Any = None) -> Answer:
        """These very bytes; nothing is encoded again."""
        url = URL(f"{self.simulator.url}/{venue}{target}", encoded=True)
        skipped = () if body and headers and "Content-Type" in headers else ("Content-Type",)
        async with self.http.request(
            method, url, data=body or None, headers=headers, skip_auto_headers=skipped
        ) as answer:
            return Answer(answer.status, await answer.text(), answer.headers)

    async def binance(self, venue: str, query: str | None = None, *, key: str = KEY, secret: str = SECRET) -> Answer:
        """A good call, or one with these parameters, signed."""
        parameters = f"{GOOD[venue] if query is None else query}&timestamp={self.now_ms}"
        target = f"{PATHS[venue]}?{signed(parameters, secret=secret)}"
        return await self.send(venue, "POST", target, headers={"X-MBX-APIKEY": key})

    async def read(self, venue: str, path: str, query: str) -> Answer:
        """A signed GET of the Binance form."""
        target = f"{path}?{signed(f'{query}&timestamp={self.now_ms}')}"
        return await self.send(venue, "GET", target, headers={"X-MBX-APIKEY": KEY})

    def iso(self, ahead: float = 0.0) -> str:
        at = datetime.fromtimestamp(self.clock.wall() + ahead, UTC)
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def okx_headers(
        self, method: str, target: str, body: bytes = b"", *, key: str = KEY, ahead: float = 0.0
    ) -> dict[str, str]:
        """As the page says: base64 of HMAC over timestamp, method, path with query, and body."""
        timestamp = self.iso(ahead)
        payload = f"{timestamp}{method}{target}".encode() + body
        return {
            "OK-ACCESS-KEY": key,
            "OK-ACCESS-SIGN": base64.b64encode(hmac.digest(SECRET.encode(), payload, "sha256")).decode(),
            "OK-ACCESS-TIMESTAMP": timestamp,
            "OK-ACCESS-PASSPHRASE": PASSPHRASE,
            "Content-Type": "application/json",
        }

    async def okx(self, fields: Any = None, *, key: str = KEY, **changed: str | None) -> Answer:
        """A good call, or one with these fields or raw bytes; `changed` are headers to replace or (None) leave out."""
        given = SWAP if fields is None else fields
        body = given if isinstance(given, bytes) else json.dumps(given).encode()
        headers = self.okx_headers("POST", PATHS["okx"], body, key=key)
        for name, value in changed.items():
            headers[name.replace("_", "-")] = value or ""
        headers = {name: value for name, value in headers.items() if value}
        return await self.send("okx", "POST", PATHS["okx"], body=body, headers=headers)

    async def okx_read(self, target: str, *, key: str = KEY) -> Answer:
        return await self.send("okx", "GET", target, headers=self.okx_headers("GET", target, key=key))

    async def call(self, venue: str) -> Answer:
        """A good call of the desk, at any venue."""
        return await (self.okx() if venue == "okx" else self.binance(venue))

    async def control(self, method: str, room: str, tree: Any = None) -> Any:
        """The simulator's own pages."""
        async with self.http.request(method, f"{self.simulator.url}/_control/{room}", json=tree) as answer:
            answer.raise_for_status()
            return await answer.json()
