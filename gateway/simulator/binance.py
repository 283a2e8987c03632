"""The three Binance venues: cross margin by account, USD-M futures and portfolio margin by symbol.

`binance_checks` has refused what is malformed or unsigned before anything here looks at a value.
"""

from email.utils import formatdate

from gateway.simulator.binance_checks import DIGITS, SYMBOL, Form, Holders, admitted, holder_of, refusal
from gateway.simulator.endpoint import Endpoint
from gateway.simulator.exchange import Asked, Call, Change, Reply, VenueWord, json_reply
from gateway.simulator.gate import Cost, Gate, SimulatedLimit
from gateway.simulator.instruments import SYMBOLS, max_notional, maximum_of_symbol
from gateway.simulator.journal import Holdings
from gateway.simulator.parameters import Parameters, fits, read_parameters

CROSS_MARGIN_LANE = "cross-margin"
DEFAULT_LEVERAGE = "20"
COMPLIANT = 20
"""Cross margin Pro, where compliance allows it."""
MARGIN_FORM = Form(legal={"maxLeverage": DIGITS}, signature_last=False, microseconds=True)
LEVERAGE_FORM = Form(legal={"symbol": SYMBOL, "leverage": DIGITS})
SYMBOL_FORM = Form(legal={"symbol": SYMBOL}, optional=frozenset({"symbol"}))
_FORM_TYPE = "application/x-www-form-urlencoded"


class BinanceMargin:
    """POST /sapi/v1/margin/max-leverage, and spot's clock on the same host. Nothing tells the leverage again."""

    word: VenueWord = "binance_margin"

    def __init__(self, holders: Holders) -> None:
        self._holders = holders
        self.endpoints = {
            ("POST", "/sapi/v1/margin/max-leverage"): Endpoint(
                purpose="set_leverage", answer=self._set, costs=(Cost("uid_weight", 3000), Cost("ip_calls", 1))
            ),
            ("GET", "/api/v3/time"): Endpoint(
                purpose="server_time", answer=server_time, costs=(Cost("spot_ip_weight", 1),), signed=False
            ),
        }

    def account_of(self, call: Call) -> str:
        """By its key header."""
        return account_of(self._holders, call)

    def asked(self, call: Call) -> Asked:
        """The account's one lane."""
        return Asked(
            account=self.account_of(call), lane=CROSS_MARGIN_LANE, value=number(_parameters(call), "maxLeverage")
        )

    def _set(self, call: Call) -> Reply:
        parameters = _parameters(call)
        account = admitted(call, parameters, self._holders, MARGIN_FORM)
        if isinstance(account, Reply):
            return account
        leverage = int(parameters.values["maxLeverage"])
        if leverage not in (3, 5, 10) and not (leverage == COMPLIANT and self._allow_20(call)):
            return refusal(400, -3026, "Your input param is wrong.")
        change = Change(account=account, lane=CROSS_MARGIN_LANE, value=str(leverage))
        return json_reply({"success": True}, change=change)

    def _allow_20(self, call: Call) -> bool:
        holder = holder_of(self._holders, call)
        return holder is not None and holder.account.allow_20


class BinanceFutures:
    """POST …/leverage by symbol, and symbolConfig to read it: USD-M futures, or the USD-M side of portfolio margin."""

    def __init__(self, word: VenueWord, prefix: str, holders: Holders, holdings: Holdings) -> None:
        self.word: VenueWord = word
        self._holders = holders
        self._holdings = holdings
        self.endpoints = {
            ("POST", f"{prefix}/leverage"): Endpoint(
                purpose="set_leverage", answer=self._set, costs=(Cost("ip_weight", 1),)
            ),
            ("GET", f"{prefix}/symbolConfig"): Endpoint(
                purpose="read_back", answer=self._symbol_config, costs=(Cost("ip_weight", 5),)
            ),
        }

    def account_of(self, call: Call) -> str:
        """By its key header."""
        return account_of(self._holders, call)

    def asked(self, call: Call) -> Asked:
        """The lane is the symbol, whatever it is."""
        parameters = _parameters(call)
        return Asked(
            account=self.account_of(call),
            lane=parameters.values.get("symbol", ""),
            value=number(parameters, "leverage"),
        )

    def _set(self, call: Call) -> Reply:
        parameters = _parameters(call)
        account = admitted(call, parameters, self._holders, LEVERAGE_FORM)
        if isinstance(account, Reply):
            return account
        symbol, leverage = parameters.values["symbol"], int(parameters.values["leverage"])
        refused = broken_bracket(symbol, leverage)
        if refused is not None:
            return refused
        change = Change(account=account, lane=symbol, value=str(leverage))
        tree = {"leverage": leverage, "maxNotionalValue": str(max_notional(leverage)), "symbol": symbol}
        return json_reply(tree, change=change)

    def _symbol_config(self, call: Call) -> Reply:
        parameters = _parameters(call)
        account = admitted(call, parameters, self._holders, SYMBOL_FORM)
        if isinstance(account, Reply):
            return account
        asked = parameters.values.get("symbol")
        if asked is not None and maximum_of_symbol(asked) is None:
            return refusal(400, -1121, "Invalid symbol.")
        return json_reply([self._config(account, symbol) for symbol in ([asked] if asked else SYMBOLS)])

    def _config(self, account: str, symbol: str) -> dict[str, object]:
        leverage = int(self._holdings.get(self.word, account, symbol) or DEFAULT_LEVERAGE)
        return {
            "symbol": symbol,
            "marginType": "CROSSED",
            "isAutoAddMargin": False,
            "leverage": leverage,
            "maxNotionalValue": str(max_notional(leverage)),
        }


def usdm(holders: Holders, holdings: Holdings, gate: Gate) -> BinanceFutures:
    """USD-M futures, with its clock and the limits that it publishes."""
    venue = BinanceFutures("binance_usdm", "/fapi/v1", holders, holdings)
    venue.endpoints |= public_endpoints("binance_usdm", gate)
    return venue


def portfolio(holders: Holders, holdings: Holdings) -> BinanceFutures:
    """Portfolio margin: no clock but the `Date` of its ping, no exchangeInfo."""
    venue = BinanceFutures("binance_portfolio", "/papi/v1/um", holders, holdings)
    venue.endpoints["GET", "/papi/v1/ping"] = Endpoint(
        purpose="server_time", answer=_ping, costs=(Cost("ip_weight", 1),), signed=False
    )
    return venue


def public_endpoints(word: VenueWord, gate: Gate) -> dict[tuple[str, str], Endpoint]:
    """The unsigned endpoints of /fapi: the clock, and the limits as they now are."""

    def exchange_info(call: Call) -> Reply:
        limits = [_published(limit) for limit in gate.of(word)]
        return json_reply({"timezone": "UTC", "serverTime": call.server_ms, "rateLimits": limits, "symbols": []})

    costs = (Cost("ip_weight", 1),)
    return {
        ("GET", "/fapi/v1/time"): Endpoint(purpose="server_time", answer=server_time, costs=costs, signed=False),
        ("GET", "/fapi/v1/exchangeInfo"): Endpoint(purpose="limits", answer=exchange_info, costs=costs, signed=False),
    }


def broken_bracket(symbol: str, leverage: int) -> Reply | None:
    """The refusal of a symbol that is not listed, or of a leverage that it does not take."""
    maximum = maximum_of_symbol(symbol)
    if maximum is None:
        return refusal(400, -1121, "Invalid symbol.")
    if not 1 <= leverage <= maximum:
        return refusal(400, -4028, f"Leverage {leverage} is not valid")
    return None


def server_time(call: Call) -> Reply:
    """The clock of spot, futures and ZTDX."""
    return json_reply({"serverTime": call.server_ms})


def account_of(holders: Holders, call: Call) -> str:
    """The account's name, or nothing."""
    holder = holder_of(holders, call)
    return holder.account.name if holder else ""


def number(parameters: Parameters, name: str) -> str:
    """A parameter as decimal text for the journal; 0 where it is none."""
    value = parameters.values.get(name, "")
    return value if fits(value, r"[0-9]{1,20}(\.[0-9]{1,20})?") else "0"


def _ping(call: Call) -> Reply:
    return json_reply({}, headers={"Date": formatdate(call.server_ms // 1000, usegmt=True)})


def _parameters(call: Call) -> Parameters:
    form = call.headers.get("Content-Type", _FORM_TYPE).startswith(_FORM_TYPE)
    return read_parameters(call.query, call.body, form=form)


def _published(limit: SimulatedLimit) -> dict[str, object]:
    seconds = int(limit.window)
    interval, count = ("MINUTE", seconds // 60) if seconds >= 60 and seconds % 60 == 0 else ("SECOND", seconds)  # noqa: PLR2004 - seconds of a minute
    return {"rateLimitType": "REQUEST_WEIGHT", "interval": interval, "intervalNum": count, "limit": limit.capacity}
