"""What can be made to go wrong, as one table, and what is going wrong just now.

`control` switches faults on and off; `server` asks for the one that hits a call.
"""

import random
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.simulator.accounts import BINANCE
from gateway.simulator.exchange import VENUES, Reply, VenueWord
from gateway.simulator.gate import too_many, too_many_okx

Effect = Literal["reply", "latency", "latency_before", "reset", "black_hole", "ban", "clock_skew"]
BINANCE_LIKE: tuple[VenueWord, ...] = (*BINANCE, "ztdx")
OKX: tuple[VenueWord, ...] = ("okx",)
_JSON, _HTML = "application/json", "text/html"


class Words(Struct, frozen=True):
    """A status, a code and a text in the venue's own form."""

    status: int
    code: int
    msg: str


class Page(Struct, frozen=True):
    """An answer that is not in the venue's form."""

    status: int
    content_type: str
    body: bytes


class Kind(Struct, frozen=True, kw_only=True):
    """One row: what goes wrong.

    Attributes:
        applied: whether the call takes effect all the same; a fault may say otherwise.
        everywhere: hits all of the venue's endpoints, not only the leverage one.
        words, okx_words: the reply, in the Binance form and in OKX's.
        seconds: how long, how far, or when to come back; the default for faults of this kind.
    """

    name: str
    meaning: str
    venues: tuple[VenueWord, ...] = VENUES
    effect: Effect = "reply"
    applied: bool = False
    everywhere: bool = False
    words: Words | None = None
    okx_words: Words | None = None
    page: Page | None = None
    seconds: float = 0.0


def _binance(name: str, status: int, code: int, msg: str, *, meaning: str) -> Kind:
    return Kind(name=name, meaning=meaning, venues=BINANCE_LIKE, words=Words(status, code, msg))


def _okx(name: str, status: int, code: int, msg: str, *, meaning: str) -> Kind:
    return Kind(name=name, meaning=meaning, venues=OKX, okx_words=Words(status, code, msg))


_UNKNOWN = "Unknown error, please check your request or try again later."
_INTERNAL = "Internal error; unable to process your request. Please try again."
_UNEXPECTED = "An unexpected response was received from the message bus. Execution status unknown."
_TIMEOUT = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
_PROTECTED = "Request throttled by system-level protection. Please try again."
_NO_ANSWER = "API endpoint request timeout (does not mean that the request was successful or failed)."
_OUTAGE = b"<html><head><title>503</title></head><body><h1>503 Service Temporarily Unavailable</h1></body></html>"
_FORBIDDEN = b"<html><head><title>403</title></head><body><h1>403 Forbidden</h1></body></html>"
_REVOKED = Words(401, -2015, "Invalid API-key, IP, or permissions for action.")
_REVOKED_OKX = Words(401, 50111, "Invalid OK-ACCESS-KEY")

KINDS = (
    Kind(name="latency", meaning="applied at once, answered late", effect="latency", applied=True, seconds=1),
    Kind(name="latency_before", meaning="applied and answered late", effect="latency_before", applied=True, seconds=1),
    Kind(name="reset_before", meaning="connection reset, nothing applied", effect="reset"),
    Kind(name="reset_after", meaning="applied, then connection reset", effect="reset", applied=True),
    Kind(name="black_hole_before", meaning="never an answer, nothing applied", effect="black_hole"),
    Kind(name="black_hole_after", meaning="applied, but never an answer", effect="black_hole", applied=True),
    # The 503s are told apart by their text alone: developers.binance.com, USD-M futures, general info.
    _binance("unknown_503", 503, -1000, _UNKNOWN, meaning="a 503 that may have been applied"),
    _binance("service_unavailable_503", 503, -1000, "Service Unavailable.", meaning="a 503 that was not applied"),
    _binance("internal_503", 503, -1001, _INTERNAL, meaning="a 503 that futures did not apply"),
    _binance("unexpected_500", 500, -1006, _UNEXPECTED, meaning="execution status unknown"),
    _binance("timeout_504", 504, -1007, _TIMEOUT, meaning="execution status unknown"),
    _binance("timeout_408", 408, -1007, _TIMEOUT, meaning="execution status unknown, as HTTP 408"),
    _binance("protected_503", 503, -1008, _PROTECTED, meaning="the venue protects itself, nothing applied"),
    _okx("okx_50001", 503, 50001, "Service temporarily unavailable. Try again later.", meaning="nothing applied"),
    _okx("okx_50004", 400, 50004, _NO_ANSWER, meaning="execution status unknown, as HTTP 400"),
    _okx("okx_50011", 200, 50011, "Rate limit reached.", meaning="too many, as HTTP 200"),
    _okx("okx_50013", 429, 50013, "Systems are busy. Please try again later.", meaning="nothing applied"),
    _okx("okx_50026", 500, 50026, "System error. Try again later.", meaning="execution status unknown"),
    Kind(name="truncated", meaning="applied, but the JSON ends early", applied=True, page=Page(200, _JSON, b'{"lev')),
    Kind(name="html", meaning="applied, but the answer is a web page", applied=True, page=Page(200, _HTML, b"<p>OK")),
    Kind(name="empty", meaning="applied, but the answer is empty", applied=True, page=Page(200, _JSON, b"")),
    Kind(name="outage", meaning="a 503 web page for everything", everywhere=True, page=Page(503, _HTML, _OUTAGE)),
    Kind(name="waf", meaning="a 403 web page for everything", everywhere=True, page=Page(403, _HTML, _FORBIDDEN)),
    Kind(name="too_many", meaning="429; not at OKX: Retry-After in seconds", everywhere=True, seconds=2),
    Kind(name="ban", meaning="418 until it ends", effect="ban", everywhere=True, venues=BINANCE_LIKE, seconds=120),
    Kind(name="key_revoked", meaning="the key is gone", everywhere=True, words=_REVOKED, okx_words=_REVOKED_OKX),
    Kind(name="clock_skew", meaning="the clock is ahead by seconds", effect="clock_skew", everywhere=True, seconds=60),
)  # fmt: skip


class Fault(Struct, kw_only=True, forbid_unknown_fields=True):
    """One kind, switched on.

    Attributes:
        account: hits only this account's calls, as `lane` only those of one lane; None hits all.
        calls: how many calls it still hits; None until it is switched off.
        odds: how likely it hits a call that it could.
        seconds, applied: in place of the kind's own.
    """

    kind: str
    venue: VenueWord
    account: str | None = None
    lane: str | None = None
    calls: Annotated[int, Meta(ge=1)] | None = None
    odds: Annotated[float, Meta(gt=0, le=1)] = 1.0
    seconds: float | None = None
    applied: bool | None = None
    id: int = 0

    def aims_at(self, venue: VenueWord, account: str, lane: str) -> bool:
        """Whether such a call is meant."""
        return self.venue == venue and self.account in {None, account} and self.lane in {None, lane}


class Faults:
    """The faults that are on; the first that hits a call is the one it gets."""

    def __init__(self, seed: int = 0) -> None:
        self.kinds: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}
        self._active: list[Fault] = []
        self._last_id = 0
        self._random = random.Random(seed)  # noqa: S311 - odds, no secret

    def __iter__(self) -> Iterator[Fault]:
        return iter(tuple(self._active))

    def add(self, fault: Fault) -> Fault:
        """Switch one on; it gets its id.

        Raises:
            ValueError: there is no such kind, or not at this venue.
        """
        kind = self.kinds.get(fault.kind)
        if kind is None or fault.venue not in kind.venues:
            raise ValueError(f"no fault {fault.kind!r} at {fault.venue}; GET /_control/faults lists them")
        self._last_id += 1
        fault.id = self._last_id
        self._active.append(fault)
        return fault

    def remove(self, fault_id: int) -> bool:
        """Switch one off; False where it is not on."""
        before = len(self._active)
        self._active = [fault for fault in self._active if fault.id != fault_id]
        return len(self._active) < before

    def clear(self) -> None:
        """Switch all off."""
        self._active.clear()

    def skew(self, venue: VenueWord) -> float:
        """Seconds that a venue's clock is ahead."""
        on = (fault for fault in self._active if fault.venue == venue)
        return sum(self.seconds(fault) for fault in on if self.kinds[fault.kind].effect == "clock_skew")

    def strike(self, venue: VenueWord, account: str, lane: str, *, sets_leverage: bool) -> Fault | None:
        """The fault that hits a call, and counts it; None where none does."""
        for fault in self._active:
            kind = self.kinds[fault.kind]
            possible = kind.effect != "clock_skew" and (sets_leverage or kind.everywhere)
            if possible and fault.aims_at(venue, account, lane) and self._falls(fault):
                self._count(fault)
                return fault
        return None

    def seconds(self, fault: Fault) -> float:
        """How long, how far, or when to come back."""
        return self.kinds[fault.kind].seconds if fault.seconds is None else fault.seconds

    def applied(self, fault: Fault) -> bool:
        """Whether the call takes effect all the same."""
        return self.kinds[fault.kind].applied if fault.applied is None else fault.applied

    def reply(self, fault: Fault) -> Reply:
        """What a fault says that says something."""
        kind = self.kinds[fault.kind]
        if kind.name == "too_many":
            return too_many_okx(429) if fault.venue == "okx" else too_many(self.seconds(fault))
        if kind.page is not None:
            page = kind.page
            return Reply(status=page.status, body=page.body, content_type=page.content_type, verdict="fault")
        words = kind.okx_words if fault.venue == "okx" else kind.words
        if words is None:
            raise ValueError(f"{kind.name} has nothing to say at {fault.venue}")
        return _said(fault.venue, words)

    def _falls(self, fault: Fault) -> bool:
        return fault.odds >= 1 or self._random.random() < fault.odds

    def _count(self, fault: Fault) -> None:
        if fault.calls is not None:
            fault.calls -= 1
            if not fault.calls:
                self.remove(fault.id)


def _said(venue: VenueWord, words: Words) -> Reply:
    if venue == "okx":
        tree: dict[str, object] = {"code": str(words.code), "msg": words.msg, "data": []}
    else:
        tree = {"code": words.code, "msg": words.msg}
    return Reply(status=words.status, body=msgspec.json.encode(tree), code=str(words.code), verdict="fault")
