"""The OKX venue: its calls, and what its answers mean. Everything is in an envelope of `code`, `msg` and `data`."""

import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import msgspec

from gateway.limits.limit import Cost, Usage
from gateway.outcomes import Ambiguous, Applied, Outcome
from gateway.transport.messages import CLIENT_ERROR, OK, SERVER_ERROR, HttpReply, HttpRequest
from gateway.venues.codes import UNKNOWN_CODE, CodeClass, Said, outcome_of
from gateway.venues.credentials import Credentials
from gateway.venues.okx import limits, signing
from gateway.venues.okx.codes import CODES
from gateway.venues.okx.scenarios import broken_field_rule
from gateway.venues.reply import code_of, json_object, number, objects, retry_after, text
from gateway.venues.rules import broken_number_rule, plain
from gateway.venues.venue import SETTLES_WITHIN, Call
from schemas import Okx, SetLeverage, VenueName

LIMIT = "uid_set_leverage"
TIME_MS = re.compile(r"[0-9]{13,14}")  # the years 2001 to 5138
BY_STATUS: dict[int, CodeClass] = {401: "unauthorised", 403: "slow", 408: "ambiguous", 418: "banned", 429: "throttled"}


class OkxVenue:
    """The set-leverage endpoint, live and demo alike: demo is a header of the account's."""

    name: VenueName = "okx"
    base_url = "https://www.okx.com"
    limits = limits.OKX
    publishing = None
    settles_within = SETTLES_WITHIN

    def broken_rule(self, command: SetLeverage) -> str | None:
        """A number the venue can read, and fields that go together."""
        target = command.target
        if not isinstance(target, Okx):
            return "not a target of okx"
        return broken_number_rule(command.leverage) or broken_field_rule(target)

    def set_leverage(self, command: SetLeverage) -> Call:
        """Compact JSON with the fields that the command has and no others."""
        fields = {"lever": plain(command.leverage), **_fields(command)}
        return Call(
            purpose="set_leverage",
            method="POST",
            path="/api/v5/account/set-leverage",
            body=msgspec.json.encode(fields),
            costs=(Cost(LIMIT, 1),),
        )

    def read_back(self, command: SetLeverage) -> Call | None:
        """leverage-info; refused with 59111 where portfolio margin hides it."""
        fields = {name: value for name, value in _fields(command).items() if name != "posSide"}
        return Call(
            purpose="read_back",
            method="GET",
            path="/api/v5/account/leverage-info",
            query=urlencode(fields),
            costs=(Cost("uid_leverage_info", 1),),
        )

    def server_time(self) -> Call:
        """10 requests per 2 s and address."""
        return Call(
            purpose="server_time",
            method="GET",
            path="/api/v5/public/time",
            costs=(Cost("ip_time", 1),),
        )

    def sign(self, call: Call, credentials: Credentials, timestamp_ms: int) -> HttpRequest:
        """Headers, with the passphrase."""
        return signing.sign(call, credentials, timestamp_ms)

    def classify(self, command: SetLeverage, answer: HttpReply) -> Outcome:
        """What an answer to `set_leverage` means; limits and errors come in a 200 too."""
        body = json_object(answer) or {}
        if _succeeded(answer, body):
            return _applied(command, body)
        return _failed(answer, body, LIMIT)

    def classify_read_back(self, command: SetLeverage, answer: HttpReply) -> Outcome:
        """The row with the command's margin mode and position side; `lever` may be written 5.00000000."""
        body = json_object(answer) or {}
        if not _succeeded(answer, body):
            return _failed(answer, body, "uid_leverage_info")
        found = _lever(command, body)
        if found is None:
            return Ambiguous(message="the read-back does not tell the lane's leverage", http_status=answer.status)
        return Applied(leverage=found, certainty="read_back")

    def server_time_ms(self, answer: HttpReply) -> int | None:
        """`data[0].ts`, milliseconds as text."""
        rows = _rows(json_object(answer) or {})
        found = text(rows[0].get("ts")) if rows and answer.status == OK else ""
        return int(found) if TIME_MS.fullmatch(found) else None

    def usage(self, answer: HttpReply) -> tuple[Usage, ...]:  # noqa: ARG002 - no header tells it
        """OKX tells no usage."""
        return ()


def _fields(command: SetLeverage) -> dict[str, str]:
    target = command.target
    if not isinstance(target, Okx):
        raise TypeError("not a target of okx")
    fields = {
        "mgnMode": target.margin_mode,
        "instId": target.instrument,
        "ccy": target.currency,
        "posSide": target.position_side,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _applied(command: SetLeverage, body: dict[str, Any]) -> Outcome:
    rows = _rows(body)
    echoed = number(rows[0].get("lever")) if rows else None
    if echoed is None or echoed != command.leverage:
        told = "no leverage" if echoed is None else plain(echoed)
        return Ambiguous(message=f"asked for {plain(command.leverage)}, the answer says {told}", http_status=OK)
    return Applied(leverage=echoed)


def _lever(command: SetLeverage, body: dict[str, Any]) -> Decimal | None:
    fields = _fields(command)
    for row in _rows(body):
        same_side = "posSide" not in fields or row.get("posSide") == fields["posSide"]
        if row.get("mgnMode") == fields["mgnMode"] and same_side:
            return number(row.get("lever"))
    return None


def _succeeded(answer: HttpReply, body: dict[str, Any]) -> bool:
    return answer.status == OK and _code(body)[0] == "0"


def _failed(answer: HttpReply, body: dict[str, Any], limit: str) -> Outcome:
    code, message = _code(body)
    said = Said(
        code=code,
        message=message or f"HTTP {answer.status} without a message",
        http_status=answer.status,
        retry_after=retry_after(answer),
        limit=limit,
    )
    return outcome_of(_class(answer.status, code), said)


def _class(status: int, code: str | None) -> CodeClass:
    if code in CODES:
        return CODES[code].outcome
    if status in BY_STATUS:
        return BY_STATUS[status]
    if status >= SERVER_ERROR or (status < CLIENT_ERROR and code is None):
        return "ambiguous"
    return UNKNOWN_CODE.outcome


def _code(body: dict[str, Any]) -> tuple[str | None, str]:
    """The code and text that say most: the first row's, else the envelope's; a suffix as in 51008_1000 is cut."""
    rows = _rows(body)
    inner = code_of(rows[0], "sCode") if rows else None
    if inner not in (None, "0"):
        return inner.partition("_")[0], text(rows[0].get("sMsg")) or text(body.get("msg"))
    code = code_of(body)
    return code.partition("_")[0] if code else None, text(body.get("msg"))


def _rows(body: dict[str, Any]) -> list[dict[str, Any]]:
    return objects(body.get("data"))
