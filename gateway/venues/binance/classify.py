"""What an answer of the Binance family means: by status first, then by code, for a 503 of futures by its text.

ZTDX answers in the same form and uses this too.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from gateway.outcomes import Ambiguous, Applied, Outcome
from gateway.transport.messages import (
    CLIENT_ERROR,
    FORBIDDEN,
    OK,
    SERVER_ERROR,
    SERVICE_UNAVAILABLE,
    UNAUTHORIZED,
    HttpReply,
)
from gateway.venues.codes import UNKNOWN_CODE, Code, CodeClass, Said, outcome_of
from gateway.venues.reply import ban_end, code_of, json_object, number, retry_after, text
from gateway.venues.rules import plain
from schemas import SetLeverage

# fapi and papi tell four kinds of 503 apart by their texts (general info, "HTTP Return Codes"); sapi's are all unknown.
TEXTS_OF_503: tuple[tuple[str, CodeClass], ...] = (
    ("Unknown error, please check your request or try again later", "ambiguous"),
    ("Service Unavailable", "unavailable"),
    ("Internal error; unable to process your request", "unavailable"),
    ("Request throttled by system-level protection", "unavailable"),
)
BY_STATUS: dict[int, CodeClass] = {408: "ambiguous", 418: "banned", 429: "throttled"}

Read200 = Callable[[dict[str, Any]], Outcome]


class Family(Struct, frozen=True, kw_only=True):
    """How one product's answers read: its code table, the texts of its 503, the limit that a 429 pauses.

    Attributes:
        limit: None for all limits that the call touched.
    """

    codes: Mapping[str, Code]
    texts_of_503: tuple[tuple[str, CodeClass], ...] = ()
    limit: str | None = None


def classify(answer: HttpReply, family: Family, read_200: Read200) -> Outcome:
    """What an answer means; `read_200` reads the body of a 200."""
    body = json_object(answer)
    if answer.status == OK:
        return Ambiguous(message="a 200 that is no JSON object", http_status=OK) if body is None else read_200(body)
    return failed(answer.status, body, family, retry_after(answer))


def failed(status: int, body: dict[str, Any] | None, family: Family, wait: float | None = None) -> Outcome:
    """What an error means, by its status and what its body tells."""
    message = text((body or {}).get("msg"))
    code = code_of(body or {})
    until = ban_end(message)
    said = Said(
        code=code,
        message=message or f"HTTP {status} without a message",
        http_status=status,
        retry_after=wait,
        until=until,
        limit=family.limit,
    )
    kind = _class(status, code, message, family)
    return outcome_of("banned" if kind == "throttled" and until is not None else kind, said)


def echoed(command: SetLeverage, body: dict[str, Any]) -> Outcome:
    """A 200 that echoes the leverage: applied if it is the one asked for."""
    leverage, notional = number(body.get("leverage")), number(body.get("maxNotionalValue"))
    if leverage is None or leverage != command.leverage:
        told = "no leverage" if leverage is None else plain(leverage)
        return Ambiguous(message=f"asked for {plain(command.leverage)}, the answer says {told}", http_status=OK)
    return Applied(leverage=leverage, max_notional=notional)


def _class(status: int, code: str | None, message: str, family: Family) -> CodeClass:
    row = family.codes.get(code or "")
    listed = row.outcome if row else None
    if status in BY_STATUS:
        return BY_STATUS[status]
    if status == UNAUTHORIZED:
        return listed or "unauthorised"
    if status == FORBIDDEN:
        return listed or "slow"  # without a code it is the web application firewall
    if status == SERVICE_UNAVAILABLE:
        told: list[CodeClass] = [kind for words, kind in family.texts_of_503 if words in message]
        return told[0] if told else listed or "ambiguous"
    if status >= SERVER_ERROR or status < OK or OK < status < CLIENT_ERROR:
        return "ambiguous"
    return listed or UNKNOWN_CODE.outcome
