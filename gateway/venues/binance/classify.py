"""What an answer of the Binance family means: by status first, then by code, for 503 by its text.

ZTDX answers in the same form and uses this too.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from gateway.outcomes import Ambiguous, Applied, Outcome
from gateway.transport.messages import HttpAnswer
from gateway.venues.answer import json_object, number, retry_after, text
from gateway.venues.binance.codes import UNKNOWN_CODE
from gateway.venues.codes import Code, CodeClass, Said, outcome_of
from schemas import SetLeverage

OK, CLIENT_ERROR, SERVER_ERROR = 200, 400, 500
BANNED_UNTIL = re.compile(r"banned until (\d{12,14})")
# fapi and papi tell four kinds of 503 apart by their texts (general info, "HTTP Return Codes").
TEXTS_OF_503: tuple[tuple[str, CodeClass], ...] = (
    ("Unknown error, please check your request or try again later", "ambiguous"),
    ("Service Unavailable", "unavailable"),
    ("Internal error; unable to process your request", "unavailable"),
    ("Request throttled by system-level protection", "unavailable"),
)
BY_STATUS: dict[int, CodeClass] = {403: "slow", 408: "ambiguous", 418: "banned", 429: "throttled"}

Read200 = Callable[[dict[str, Any]], Outcome]


def classify(answer: HttpAnswer, table: Mapping[str, Code], read_200: Read200, *, limit: str | None) -> Outcome:
    """What an answer means; `limit` is the one that a 429 pauses, None for all that the call touched."""
    body = json_object(answer)
    if answer.status == OK:
        return (
            read_200(body)
            if body is not None
            else Ambiguous(message="an answer that is no JSON object", http_status=OK)
        )
    code = _code(body)
    said = Said(
        code=code,
        message=text(body.get("msg")) if body else f"HTTP {answer.status} without a JSON body",
        http_status=answer.status,
        retry_after=retry_after(answer),
        until=_banned_until(body),
        limit=limit,
    )
    return outcome_of(_class(answer.status, code, said.message, table), said)


def echoed(command: SetLeverage, body: dict[str, Any]) -> Outcome:
    """A 200 that echoes the leverage: applied if it is the one asked for."""
    leverage, notional = number(body.get("leverage")), number(body.get("maxNotionalValue"))
    if leverage is None or leverage != command.leverage:
        return Ambiguous(message=f"asked for {command.leverage}, the answer says {leverage}", http_status=OK)
    return Applied(leverage=leverage, max_notional=notional)


def _class(status: int, code: str | None, message: str, table: Mapping[str, Code]) -> CodeClass:
    if status in BY_STATUS:
        return BY_STATUS[status]
    if status == 503:  # noqa: PLR2004 - Service Unavailable
        said = [kind for words, kind in TEXTS_OF_503 if words in message]
        return said[0] if said else _listed(code, table) or "ambiguous"
    if status >= SERVER_ERROR:
        return "ambiguous"
    if status < CLIENT_ERROR:
        return "ambiguous"
    kind: CodeClass = _listed(code, table) or UNKNOWN_CODE.outcome
    return "banned" if kind == "throttled" and BANNED_UNTIL.search(message) else kind


def _listed(code: str | None, table: Mapping[str, Code]) -> CodeClass | None:
    row = table.get(code or "")
    return row.outcome if row else None


def _code(body: dict[str, Any] | None) -> str | None:
    code = (body or {}).get("code")
    return str(code) if isinstance(code, int | str) and not isinstance(code, bool) else None


def _banned_until(body: dict[str, Any] | None) -> float | None:
    found = BANNED_UNTIL.search(text((body or {}).get("msg")))
    return int(found[1]) / 1000 if found else None
