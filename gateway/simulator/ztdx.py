"""ZTDX: the Binance form with a JSON body: the query and the body are signed together, the signature is in the query.

`binance_checks` refuses what is malformed or unsigned; what is read here is what the seed's two samples send.
"""

import json
from typing import Any, cast
from urllib.parse import unquote

import msgspec

from gateway.simulator.binance import DEFAULT_LEVERAGE, account_of, broken_bracket, number, public_endpoints
from gateway.simulator.binance_checks import DIGITS, SYMBOL, Form, Holders, admitted, refusal
from gateway.simulator.endpoint import Endpoint
from gateway.simulator.exchange import Asked, Call, Change, Reply, VenueWord, json_reply
from gateway.simulator.gate import Cost, Gate
from gateway.simulator.instruments import maximum_of_symbol
from gateway.simulator.journal import Holdings
from gateway.simulator.parameters import Parameters, read_parameters

# The symbol's own cap, whatever its leverage, in the format of the seed's Python sample.
MAX_NOTIONAL = "10000000.0000"
LEVERAGE_FORM = Form(legal={"symbol": SYMBOL, "leverage": DIGITS}, signature_last=False)
SYMBOL_FORM = Form(legal={"symbol": SYMBOL}, signature_last=False, optional=frozenset({"symbol"}))


class Ztdx:
    """POST /fapi/v1/leverage with a JSON body or all in the query, and positionRisk to read it."""

    word: VenueWord = "ztdx"

    def __init__(self, holders: Holders, holdings: Holdings, gate: Gate) -> None:
        self._holders = holders
        self._holdings = holdings
        self.endpoints = {
            ("POST", "/fapi/v1/leverage"): Endpoint(
                purpose="set_leverage", answer=self._set, costs=(Cost("ip_weight", 1),)
            ),
            ("GET", "/fapi/v1/positionRisk"): Endpoint(
                purpose="read_back", answer=self._position_risk, costs=(Cost("ip_weight", 5),)
            ),
            **public_endpoints("ztdx", gate),
        }

    def account_of(self, call: Call) -> str:
        """By its key header."""
        return account_of(self._holders, call)

    def asked(self, call: Call) -> Asked:
        """The lane is the symbol, whatever it is."""
        parameters = _parameters(call) or read_parameters(call.query, b"")
        return Asked(
            account=self.account_of(call),
            lane=parameters.values.get("symbol", ""),
            value=number(parameters, "leverage"),
        )

    def _set(self, call: Call) -> Reply:
        parameters = _parameters(call)
        if parameters is None:
            return refusal(400, -1102, "The body must be a JSON object of text and numbers.")
        account = _admitted(call, parameters, self._holders, LEVERAGE_FORM)
        if isinstance(account, Reply):
            return account
        symbol, leverage = parameters.values["symbol"], int(parameters.values["leverage"])
        refused = broken_bracket(symbol, leverage)
        if refused is not None:
            return refused
        change = Change(account=account, lane=symbol, value=str(leverage))
        return json_reply({"leverage": leverage, "maxNotionalValue": MAX_NOTIONAL, "symbol": symbol}, change=change)

    def _position_risk(self, call: Call) -> Reply:
        parameters = read_parameters(call.query, b"")
        account = _admitted(call, parameters, self._holders, SYMBOL_FORM)
        if isinstance(account, Reply):
            return account
        asked = parameters.values.get("symbol")
        if asked is None:
            return json_reply([])
        if maximum_of_symbol(asked) is None:
            return refusal(400, -1121, "Invalid symbol.")
        leverage = self._holdings.get("ztdx", account, asked) or DEFAULT_LEVERAGE
        return json_reply([{"symbol": asked, "positionSide": "BOTH", "positionAmt": "0", "leverage": leverage}])


def _admitted(call: Call, parameters: Parameters, holders: Holders, form: Form) -> str | Reply:
    """The venue compares with the URL-decoded payload too, so a signature over either passes."""
    account = admitted(call, parameters, holders, form)
    if isinstance(account, str) or account.code != "-1022":
        return account
    decoded = unquote(parameters.payload.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return admitted(call, msgspec.structs.replace(parameters, payload=decoded), holders, form)


def _parameters(call: Call) -> Parameters | None:
    """Of the query and of the JSON body; None where the body is none."""
    in_query = read_parameters(call.query, call.body, form=False)
    fields = _fields(call.body) if call.body else []
    if fields is None:
        return None
    in_body = dict(fields)
    twice = in_query.duplicated or len(in_body) != len(fields) or bool(in_body.keys() & in_query.values.keys())
    return msgspec.structs.replace(in_query, values=in_body | in_query.values, duplicated=twice)


def _fields(body: bytes) -> list[tuple[str, str]] | None:
    try:
        pairs: Any = json.loads(body, object_pairs_hook=list, parse_float=str)
    except (ValueError, RecursionError):
        return None
    if not isinstance(pairs, list) or not body.lstrip().startswith(b"{"):
        return None
    fields = cast("list[tuple[str, Any]]", pairs)
    if not all(isinstance(value, str | int) and not isinstance(value, bool) for _, value in fields):
        return None
    return [(name, str(value)) for name, value in fields]
