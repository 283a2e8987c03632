"""The checks that every signed call of the Binance family goes through, in the venue's order, and their refusals.

`binance` and `ztdx` read the parameters, come here, and then judge what is their own.
Source: the venues' general-info and error-code pages.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from gateway.simulator.exchange import Call, Reply, Verdict
from gateway.simulator.parameters import Parameters, fits
from gateway.simulator.signatures import Holder

KEY_HEADER = "X-MBX-APIKEY"
DIGITS = r"[0-9]{1,20}"
SYMBOL = r"[^\s\ufffd&=:/'\"<>%]{1,64}"
DEFAULT_WINDOW_MS, LONGEST_WINDOW_MS, AHEAD_MS = 5000, 60_000, 1000
_FIRST_MICROSECONDS = 10**15

_VERDICTS: Mapping[int, Verdict] = {
    -1021: "clock",
    -1022: "unauthorised",
    -2014: "unauthorised",
    -2015: "unauthorised",
    -1121: "refused",
    -3026: "refused",
    -4028: "refused",
}


Holders = dict[str, Holder]
"""The holders of one venue by API key."""


class Form(Struct, frozen=True, kw_only=True):
    """Which parameters an endpoint takes, beside recvWindow, timestamp and signature.

    Attributes:
        legal: each parameter's legal range.
        optional: those that may be left out.
        signature_last: refuse anything after the signature (futures).
        microseconds: take timestamps in microseconds too (spot and sapi).
    """

    legal: Mapping[str, str]
    optional: frozenset[str] = frozenset()
    signature_last: bool = True
    microseconds: bool = False


def refusal(status: int, code: int, message: str) -> Reply:
    """An error in the Binance form."""
    return Reply(
        status=status,
        body=msgspec.json.encode({"code": code, "msg": message}),
        code=str(code),
        verdict=_VERDICTS.get(code, "bad_request"),
    )


def admitted(call: Call, parameters: Parameters, holders: Holders, form: Form) -> str | Reply:
    """The name of the account that a signed call is from, or the refusal by the first general rule that it breaks."""
    holder = holder_of(holders, call)
    broken = _broken_rule(call, parameters, holder, form)
    return broken if broken is not None else (holder.account.name if holder else "")


def holder_of(holders: Holders, call: Call) -> Holder | None:
    """Whose key the call shows."""
    return holders.get(call.headers.get(KEY_HEADER, ""))


def _broken_rule(call: Call, parameters: Parameters, holder: Holder | None, form: Form) -> Reply | None:
    return (
        _broken_key_header(call)
        or _broken_set(parameters, form)
        or _broken_window(call, parameters, form)
        or _broken_signature(parameters, holder, form)
        or _illegal(parameters, form)
    )


def _broken_key_header(call: Call) -> Reply | None:
    if fits(call.headers.get(KEY_HEADER, ""), r"[A-Za-z0-9._-]{1,128}"):
        return None
    return refusal(401, -2014, "API-key format invalid.")


def _broken_set(parameters: Parameters, form: Form) -> Reply | None:
    if parameters.duplicated:
        return refusal(400, -1101, "Duplicate values for a parameter detected.")
    unsent = _missing(parameters, form)
    if unsent is not None:
        return unsent
    sent = parameters.values.keys()
    read = sent & (form.legal.keys() | {"recvWindow", "timestamp"})
    if len(read) == len(sent):
        return None
    text = f"Not all sent parameters were read; read '{len(read)}' parameter(s) but was sent '{len(sent)}'."
    return refusal(400, -1104, text)


def _missing(parameters: Parameters, form: Form) -> Reply | None:
    for name in (*form.legal, "timestamp"):
        if not parameters.values.get(name) and (name not in form.optional or name in parameters.values):
            return _not_sent(name)
    if parameters.values.get("recvWindow") == "":
        return refusal(400, -1105, "Parameter 'recvWindow' was empty.")
    return None if parameters.signature else _not_sent("signature")


def _not_sent(name: str) -> Reply:
    return refusal(400, -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def _broken_window(call: Call, parameters: Parameters, form: Form) -> Reply | None:
    """Valid if the timestamp is less than 1 s ahead, and not older than the receive window."""
    sent, window = parameters.values["timestamp"], parameters.values.get("recvWindow", str(DEFAULT_WINDOW_MS))
    for name, value in (("timestamp", sent), ("recvWindow", window)):
        if not fits(value, DIGITS):
            return _out_of_range(name, DIGITS)
    if int(window) > LONGEST_WINDOW_MS:
        return refusal(400, -1131, "recvWindow must be less than 60000.")
    timestamp = int(sent)
    if form.microseconds and timestamp >= _FIRST_MICROSECONDS:
        timestamp //= 1000
    if timestamp >= call.server_ms + AHEAD_MS:
        return refusal(400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if call.server_ms - timestamp > int(window):
        return refusal(400, -1021, "Timestamp for this request is outside of the recvWindow.")
    return None


def _broken_signature(parameters: Parameters, holder: Holder | None, form: Form) -> Reply | None:
    if holder is None:
        return refusal(401, -2015, "Invalid API-key, IP, or permissions for action.")
    in_order = parameters.clean and (parameters.signature_last or not form.signature_last)
    if in_order and holder.signed(parameters.payload, parameters.signature or ""):
        return None
    return refusal(400, -1022, "Signature for this request is not valid.")


def _illegal(parameters: Parameters, form: Form) -> Reply | None:
    for name, legal in form.legal.items():
        if name in parameters.values and not fits(parameters.values[name], legal):
            return _out_of_range(name, legal)
    return None


def _out_of_range(name: str, legal: str) -> Reply:
    text = f"Illegal characters found in parameter '{name}'; legal range is '^{legal}$'."
    return refusal(400, -1100, text)
