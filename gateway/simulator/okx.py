"""OKX: POST /api/v5/account/set-leverage in its eleven scenarios, leverage-info to read it, config, and the clock.

`okx_checks` has told whose call it is; account level and position mode decide here which fields go together.
"""

import json
import re
from decimal import Decimal
from typing import Any, Literal, cast
from urllib.parse import parse_qsl

from msgspec import Struct

from gateway.simulator.accounts import FUTURES, PORTFOLIO_MARGIN, SimulatedAccount
from gateway.simulator.endpoint import Endpoint
from gateway.simulator.exchange import Asked, Call, Change, Reply, VenueWord
from gateway.simulator.gate import Cost
from gateway.simulator.instruments import MARGIN_MAXIMUM, Instrument, instrument, is_currency
from gateway.simulator.journal import Holdings
from gateway.simulator.okx_checks import KEY_HEADER, admitted, refusal, success
from gateway.simulator.signatures import Holder

DEFAULT_LEVER = "3"
MINIMUM = Decimal("0.01")
_LEVER = re.compile(r"\d{1,4}(\.\d{1,2})?")
_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_MOST_INSTRUMENTS = 20


class Fields(Struct, frozen=True, kw_only=True):
    """The fields of a call; an empty text is a field that is not there."""

    lever: str = ""
    margin_mode: str = ""
    instrument_id: str = ""
    currency: str = ""
    side: str = ""


class Okx:
    """The venue; live and demo keys alike, each sub-account a user of its own."""

    word: VenueWord = "okx"

    def __init__(self, holders: dict[str, Holder], holdings: Holdings) -> None:
        self._holders = holders
        self._holdings = holdings
        self.endpoints = {
            ("POST", "/api/v5/account/set-leverage"): Endpoint(
                purpose="set_leverage", answer=self._set, costs=(Cost("uid_set_leverage", 1),)
            ),
            ("GET", "/api/v5/account/leverage-info"): Endpoint(
                purpose="read_back", answer=self._info, costs=(Cost("uid_leverage_info", 1),)
            ),
            ("GET", "/api/v5/account/config"): Endpoint(
                purpose="limits", answer=self._config, costs=(Cost("uid_config", 1),)
            ),
            ("GET", "/api/v5/public/time"): Endpoint(
                purpose="server_time", answer=_time, costs=(Cost("ip_time", 1),), signed=False
            ),
        }

    def account_of(self, call: Call) -> str:
        """By its key header."""
        holder = self._holders.get(call.headers.get(KEY_HEADER, ""))
        return holder.account.name if holder else ""

    def asked(self, call: Call) -> Asked:
        """The lane by what the fields say, legal or not."""
        fields = _fields(call.body)
        if fields is None:
            return Asked(account=self.account_of(call))
        value = fields.lever if _DECIMAL.fullmatch(fields.lever) else "0"
        return Asked(account=self.account_of(call), lane=lane(fields), value=value)

    def _set(self, call: Call) -> Reply:
        if not call.headers.get("Content-Type", "").startswith("application/json"):
            return refusal(400, "50006", "Invalid Content-Type, please use application/json.")
        holder = admitted(call, self._holders)
        if isinstance(holder, Reply):
            return holder
        if not call.body:
            return refusal(400, "50000", "Body for POST request cannot be empty.")
        fields = _fields(call.body)
        if fields is None:
            return refusal(400, "50002", "JSON syntax error")
        return _broken_fields(fields) or _broken_target(fields, holder.account) or _set_leverage(fields, holder.account)

    def _info(self, call: Call) -> Reply:
        holder = admitted(call, self._holders)
        if isinstance(holder, Reply):
            return holder
        asked = dict(parse_qsl(call.query))
        mode, instruments, currency = asked.get("mgnMode", ""), asked.get("instId", ""), asked.get("ccy", "")
        if mode not in ("cross", "isolated"):
            return refusal(400, "51000", "Parameter mgnMode error")
        if not instruments and not currency:
            return refusal(400, "50015", "Either parameter instId or ccy is required.")
        names = instruments.split(",") if instruments else []
        if len(names) > _MOST_INSTRUMENTS:
            return refusal(400, "51000", "Parameter instId error")
        wanted = [Fields(margin_mode=mode, instrument_id=name) for name in names] or [
            Fields(margin_mode=mode, currency=currency)
        ]
        broken = next((found for fields in wanted if (found := _unreadable(fields, holder.account))), None)
        if broken is not None:
            return broken
        return success(*(row for fields in wanted for row in self._rows(fields, holder.account)))

    def _rows(self, fields: Fields, account: SimulatedAccount) -> list[dict[str, str]]:
        listed = instrument(fields.instrument_id)
        both = _takes_side(fields, listed) and account.pos_mode == "long_short_mode"
        rows: list[dict[str, str]] = []
        for side in ("long", "short") if both else ("",):
            held = self._holdings.get("okx", account.name, lane(Fields(**_without_side(fields), side=side)))
            row = {"instId": fields.instrument_id, "ccy": fields.currency, "mgnMode": fields.margin_mode}
            # The venue may write it with eight decimals.
            rows.append({**row, "posSide": side or "net", "lever": f"{Decimal(held or DEFAULT_LEVER):.8f}"})
        return rows

    def _config(self, call: Call) -> Reply:
        holder = admitted(call, self._holders)
        if isinstance(holder, Reply):
            return holder
        account = holder.account
        return success({"acctLv": str(account.acct_lv), "posMode": account.pos_mode, "uid": account.name})


def lane(fields: Fields) -> str:
    """What the setting covers: the pair, the currency, the underlying or the contract, and the side where one is."""
    listed = instrument(fields.instrument_id)
    if not fields.instrument_id:
        return f"{fields.margin_mode}.currency.{fields.currency}"
    if listed is None:
        return f"{fields.margin_mode}.contract.{fields.instrument_id}"
    level, name = _level(listed, fields.margin_mode)
    side = f".{fields.side}" if fields.side in ("long", "short") else ""
    return f"{fields.margin_mode}.{level}.{name}{side}"


def _level(listed: Instrument, mode: str) -> tuple[Literal["pair", "underlying", "contract"], str]:
    if listed.kind == "MARGIN":
        return "pair", listed.id
    if listed.kind == "FUTURES" and mode == "cross":
        return "underlying", listed.underlying
    return "contract", listed.id


def _without_side(fields: Fields) -> dict[str, str]:
    return {"margin_mode": fields.margin_mode, "instrument_id": fields.instrument_id, "currency": fields.currency}


def _time(call: Call) -> Reply:
    return success({"ts": str(call.server_ms)})


def _fields(body: bytes) -> Fields | None:
    """The fields of a JSON object, each at most once; numbers count as their text, as the venue takes them."""
    try:
        pairs: Any = json.loads(body, object_pairs_hook=list, parse_float=str)
    except (ValueError, RecursionError):
        return None
    if not isinstance(pairs, list) or not body.lstrip().startswith(b"{"):
        return None
    found = cast("list[tuple[str, Any]]", pairs)
    sent = {name: _text(value) for name, value in found}
    if len(sent) != len(found):
        return None
    return Fields(
        lever=sent.get("lever", ""),
        margin_mode=sent.get("mgnMode", ""),
        instrument_id=sent.get("instId", ""),
        currency=sent.get("ccy", ""),
        side=sent.get("posSide", ""),
    )


def _text(value: Any) -> str:
    """Text of a text or a number; what no field takes stays visible as something that fits nowhere."""
    if value is None:
        return ""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else "\ufffd"


def _broken_fields(fields: Fields) -> Reply | None:
    """What is wrong whatever the account is."""
    for name, value in (("lever", fields.lever), ("mgnMode", fields.margin_mode)):
        if not value:
            return refusal(400, "50014", f"Parameter {name} can not be empty.")
    if fields.margin_mode not in ("cross", "isolated"):
        return refusal(400, "51000", "Parameter mgnMode error")
    if not _LEVER.fullmatch(fields.lever) or not fields.lever.isascii() or not Decimal(fields.lever):
        return refusal(400, "51000", "Parameter lever error")
    if fields.side not in ("", "net", "long", "short"):
        return refusal(400, "51000", "Parameter posSide error")
    return _broken_choice(fields)


def _broken_choice(fields: Fields) -> Reply | None:
    if not fields.instrument_id and not fields.currency:
        return refusal(400, "50015", "Either parameter instId or ccy is required.")
    if fields.instrument_id and fields.currency:
        return refusal(400, "50024", "Parameter instId and ccy cannot exist at the same time.")
    return None


def _broken_target(fields: Fields, account: SimulatedAccount) -> Reply | None:
    """What the account's level and position mode, or the listing, refuse."""
    if fields.currency:
        return _broken_currency(fields, account)
    listed = instrument(fields.instrument_id)
    if listed is None:
        return refusal(200, "51001", "Instrument ID does not exist")
    return _broken_level(fields, listed, account) or _broken_side(fields, listed, account)


def _broken_currency(fields: Fields, account: SimulatedAccount) -> Reply | None:
    if fields.margin_mode == "isolated":
        return refusal(400, "51000", "Parameter mgnMode error")
    if account.acct_lv == FUTURES:
        return refusal(200, "51010", "Request unsupported under current account mode")
    if not is_currency(fields.currency):
        return refusal(200, "51012", "Token does not exist.")
    return refusal(400, "51000", "Parameter posSide error") if fields.side in ("long", "short") else None


def _broken_level(fields: Fields, listed: Instrument, account: SimulatedAccount) -> Reply | None:
    """Cross margin of a pair is by instId in futures mode alone; under portfolio margin contracts have no setting."""
    if fields.margin_mode == "isolated":
        return None
    if listed.kind == "MARGIN" and account.acct_lv != FUTURES:
        return refusal(200, "51010", "Request unsupported under current account mode")
    if listed.kind != "MARGIN" and account.acct_lv == PORTFOLIO_MARGIN:
        text = "Leverage cannot be adjusted for the cross positions of Expiry Futures and Perpetual Futures"
        return refusal(200, "51039", f"{text} under the PM account.")
    return None


def _broken_side(fields: Fields, listed: Instrument, account: SimulatedAccount) -> Reply | None:
    """A side belongs to isolated contracts in long/short mode, and is needed there."""
    needed = _takes_side(fields, listed) and account.pos_mode == "long_short_mode"
    if needed and account.acct_lv == PORTFOLIO_MARGIN:
        return refusal(200, "51041", "Portfolio margin account only supports net mode.")
    if needed == (fields.side in ("long", "short")):
        return None
    return refusal(400, "51000", "Parameter posSide error")


def _takes_side(fields: Fields, listed: Instrument | None) -> bool:
    return fields.margin_mode == "isolated" and listed is not None and listed.kind != "MARGIN"


def _set_leverage(fields: Fields, account: SimulatedAccount) -> Reply:
    listed, lever = instrument(fields.instrument_id), Decimal(fields.lever)
    if lever > (listed.maximum if listed else MARGIN_MAXIMUM):
        return refusal(200, "59102", "Leverage exceeds the maximum limit. Please lower the leverage.")
    if lever < MINIMUM:
        return refusal(400, "59105", f"Leverage can't be lower than {MINIMUM}.")
    side = fields.side if fields.side in ("long", "short") else ""
    row = {"lever": fields.lever, "mgnMode": fields.margin_mode, "instId": fields.instrument_id, "posSide": side}
    return success(row, change=Change(account=account.name, lane=lane(fields), value=fields.lever))


def _unreadable(fields: Fields, account: SimulatedAccount) -> Reply | None:
    if fields.currency:
        return _broken_currency(fields, account)
    listed = instrument(fields.instrument_id)
    if listed is None:
        return refusal(200, "51001", "Instrument ID does not exist")
    hidden = fields.margin_mode == "cross" and listed.kind != "MARGIN"
    if hidden and account.acct_lv == PORTFOLIO_MARGIN:
        return refusal(400, "59111", "Leverage query isn't supported in portfolio margin account mode.")
    return None
