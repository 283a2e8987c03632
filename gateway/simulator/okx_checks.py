"""OKX's envelope, and the checks of headers, clock, passphrase and signature that every private call goes through.

`okx` judges what is asked once this has told whose call it is. Source: the v5 pages "REST authentication" and
"Error code".
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from gateway.simulator.exchange import Call, Change, Reply, Verdict
from gateway.simulator.signatures import Holder

KEY_HEADER = "OK-ACCESS-KEY"
EXPIRY_MS = 30_000
_TIMESTAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")
_MANDATORY = (
    (KEY_HEADER, "50103"),
    ("OK-ACCESS-PASSPHRASE", "50104"),
    ("OK-ACCESS-SIGN", "50106"),
    ("OK-ACCESS-TIMESTAMP", "50107"),
)
_VERDICTS: Mapping[str, Verdict] = {
    "50102": "clock",
    "50112": "clock",
    "50000": "bad_request",
    "50002": "bad_request",
    "50006": "bad_request",
    "50014": "bad_request",
    "50015": "bad_request",
    "50024": "bad_request",
    "51000": "bad_request",
}


def refusal(status: int, code: str, message: str) -> Reply:
    """An error in the envelope."""
    verdict = _VERDICTS.get(code, "unauthorised" if code.startswith("501") else "refused")
    return Reply(
        status=status,
        body=msgspec.json.encode({"code": code, "msg": message, "data": []}),
        code=code,
        verdict=verdict,
    )


def success(*rows: Mapping[str, Any], change: Change | None = None) -> Reply:
    """Rows in the envelope."""
    return Reply(body=msgspec.json.encode({"code": "0", "msg": "", "data": rows}), code="0", change=change)


def admitted(call: Call, holders: Mapping[str, Holder]) -> Holder | Reply:
    """Whose call it is, or the refusal by the first rule that it breaks."""
    for header, code in _MANDATORY:
        if not call.headers.get(header):
            return refusal(401, code, f"Request header {header} can not be empty.")
    holder = holders.get(call.headers[KEY_HEADER])
    if holder is None:
        return refusal(401, "50111", f"Invalid {KEY_HEADER}")
    broken = _broken_account(call, holder) or _broken_clock(call) or _broken_signature(call, holder)
    return holder if broken is None else broken


def _broken_account(call: Call, holder: Holder) -> Reply | None:
    if (call.headers.get("x-simulated-trading") == "1") != holder.account.simulated:
        return refusal(401, "50101", "APIKey does not match current environment.")
    if call.headers["OK-ACCESS-PASSPHRASE"] != holder.account.passphrase:
        return refusal(401, "50105", "Request header OK-ACCESS-PASSPHRASE incorrect.")
    return None


def _broken_clock(call: Call) -> Reply | None:
    sent_ms = _milliseconds(call.headers["OK-ACCESS-TIMESTAMP"])
    if sent_ms is None:
        return refusal(401, "50112", "Invalid OK-ACCESS-TIMESTAMP")
    if abs(call.server_ms - sent_ms) > EXPIRY_MS:
        return refusal(401, "50102", "Timestamp request expired")
    return None


def _milliseconds(text: str) -> int | None:
    if not _TIMESTAMP.fullmatch(text) or not text.isascii():
        return None
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        return None


def _broken_signature(call: Call, holder: Holder) -> Reply | None:
    target = f"{call.path}?{call.query}" if call.query else call.path
    signed = f"{call.headers['OK-ACCESS-TIMESTAMP']}{call.method}{target}"
    payload = signed.encode("utf-8", "surrogateescape") + call.body
    if holder.signed_in_base64(payload, call.headers["OK-ACCESS-SIGN"]):
        return None
    return refusal(401, "50113", "Invalid Sign")
