"""The door of every `/v1` route: where a page comes from, whose token it is, what it opens, how often it is used."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.hdrs import AUTHORIZATION, ORIGIN, SEC_WEBSOCKET_PROTOCOL

from gateway.clock import Clock
from gateway.edge.tokens import Token, Tokens, Verb

SUBPROTOCOL = "bearer."  # of browsers, which cannot set a header on a WebSocket


class DoorError(Exception):
    """Raised where somebody is not let in, or not with what it brings; becomes the answer."""

    def __init__(
        self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}
        self.more = more

    def answer(self) -> web.Response:
        """The answer that says so."""
        body = msgspec.json.encode({"code": self.code, "message": self.message, **self.more})
        return web.Response(status=self.status, body=body, content_type="application/json", headers=self.headers)


class TokenRate:
    """How often a token is used: so much a second, twice as much at once."""

    def __init__(self, rate: float, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._left = 2 * rate
        self._filled_at = clock.monotonic()

    def take(self, count: int = 1) -> float:
        """Take some, or nothing and say in how many seconds there will be enough; 0 where it was taken.

        More than there can ever be is taken where it is full.
        """
        now = self._clock.monotonic()
        self._left = min(2 * self._rate, self._left + (now - self._filled_at) * self._rate)
        self._filled_at = now
        needed = min(count, 2 * self._rate)
        if self._left >= needed:
            self._left -= count
            return 0.0
        return (needed - self._left) / self._rate


class Door:
    """Lets in or raises DoorError."""

    def __init__(self, tokens: Tokens, *, origins: Collection[str], rate: float, clock: Clock) -> None:
        """`rate`: uses of one token a second."""
        self._tokens = tokens
        self._origins = frozenset(origins)
        self._rate = rate
        self._clock = clock
        self._buckets: dict[str, TokenRate] = {}

    def origin(self, request: web.BaseRequest) -> str | None:
        """The page's origin, where there is one; DoorError for a foreign one."""
        origin = request.headers.get(ORIGIN)
        if origin is not None and origin not in self._origins:
            raise DoorError(403, "foreign_origin", "pages of this origin are not let in (edge.origins)")
        return origin

    def token(self, request: web.BaseRequest, verb: Verb) -> Token:
        """Whose request it is, and that it may; DoorError else."""
        text = _bearer(request)
        found = None if text is None else self._tokens.find(text)
        if found is None:
            message = "the token is not known" if text else "a token is needed: Authorization: Bearer <token>"
            raise DoorError(401, "unauthorised", message, headers={"WWW-Authenticate": "Bearer"})
        self.check_verb(found, verb)
        self.spend(found)
        return found

    def check_verb(self, token: Token, verb: Verb) -> None:
        """DoorError where the token is not for that."""
        if verb not in token.verbs:
            raise DoorError(403, "forbidden", f"the token may not {verb}")

    def spend(self, token: Token, count: int = 1) -> None:
        """Count uses of a token; DoorError where there are too many."""
        bucket = self._buckets.get(token.name)
        if bucket is None:
            bucket = self._buckets[token.name] = TokenRate(self._rate, self._clock)
        if wait := bucket.take(count):
            message = f"the token is used more than {self._rate:g} times a second; come back in {wait:.3f} s"
            raise DoorError(429, "rate_limited", message, headers={"Retry-After": str(int(wait) + 1)})


def _bearer(request: web.BaseRequest) -> str | None:
    """The token that a request brings."""
    kind, _, text = request.headers.get(AUTHORIZATION, "").partition(" ")
    if kind.lower() == "bearer" and text.strip():
        return text.strip()
    offered = request.headers.getall(SEC_WEBSOCKET_PROTOCOL, ())
    for part in ",".join(offered).split(","):
        if part.strip().startswith(SUBPROTOCOL):
            return part.strip().removeprefix(SUBPROTOCOL)
    return None
