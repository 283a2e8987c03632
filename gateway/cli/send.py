"""`leverage-gateway send`: one command, by hand."""

import re
import time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
import uvloop
from cyclopts import Parameter, validators

from gateway.cli.exits import DONE, NO, UsageError
from gateway.cli.options import ConfigOption, JsonOption, connected, read_settings
from gateway.cli.printing import console, event_line, print_encoded, print_json, print_line
from gateway.client import CommandIds, SentCommand
from gateway.settings.tree import Settings
from schemas import (
    DecodeError,
    Event,
    LeverageChanged,
    SetLeverage,
    Target,
    Timestamp,
    VenueName,
    decode_command,
    encode,
)

EXPECTED = {
    "account": "1 to 64 letters, digits, dots, dashes and underscores",
    "command_id": "1 to 64 characters",
    "issuer": "at most 256 characters",
    **dict.fromkeys(
        ("symbol", "instrument", "currency"), "1 to 64 characters; no white space, control characters, : or &"
    ),
}
TAKEN_WITHIN = 30.0  # seconds until Kafka has the command
Positive = validators.Number(gt=0)
UpToAYear = validators.Number(gt=0, lte=365 * 86_400)


def send(
    venue: Annotated[VenueName, Parameter(help="Where.")],
    /,
    *,
    account: Annotated[str, Parameter(help="The account, as the gateway's settings name it.")],
    leverage: Annotated[str, Parameter(help="How much: a decimal number.")],
    symbol: Annotated[str | None, Parameter(help="binance_usdm, binance_portfolio, ztdx: BTCUSDT.")] = None,
    margin_mode: Annotated[Literal["cross", "isolated"] | None, Parameter(help="okx.")] = None,
    instrument: Annotated[str | None, Parameter(help="okx instId: BTC-USDT-SWAP.")] = None,
    currency: Annotated[str | None, Parameter(help="okx ccy: BTC.")] = None,
    position_side: Annotated[Literal["long", "short"] | None, Parameter(help="okx, isolated long/short mode.")] = None,
    expires_in: Annotated[
        float | None, Parameter(help="Seconds until it must not be sent.", validator=UpToAYear)
    ] = None,
    issuer: Annotated[str | None, Parameter(help="Who asks, as events tell it.")] = None,
    command_id: Annotated[str | None, Parameter(help="The idempotency key; a new one without it.")] = None,
    wait: Annotated[
        bool, Parameter(help="Wait for the answer: exit 0 for changed, 1 for rejected.", show_default=False)
    ] = False,
    timeout: Annotated[float, Parameter(help="Seconds to wait at most.", validator=Positive)] = 60.0,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Publish one SetLeverage command, and with --wait print its event.

    Without an answer in time it exits 3; the command is with the gateway all the same.

    ```sh
    leverage-gateway send binance_usdm --account desk-1 --leverage 20 --symbol BTCUSDT --wait
    leverage-gateway send okx --account desk-1 --leverage 5 --margin-mode cross --instrument BTC-USDT-SWAP
    leverage-gateway send binance_margin --account desk-1 --leverage 5 --expires-in 30
    ```
    """
    given = {
        "symbol": symbol,
        "margin_mode": margin_mode,
        "instrument": instrument,
        "currency": currency,
        "position_side": position_side,
    }
    target = make_target(venue, {name: value for name, value in given.items() if value is not None})
    command = make_command(target, account, leverage, command_id=command_id, issuer=issuer, expires_in=expires_in)
    settings = read_settings(config, with_accounts=False)
    return uvloop.run(_send(settings, config, command, json=json, wait_seconds=timeout if wait else None))


def make_target(venue: VenueName, given: dict[str, str]) -> Target:
    """What the command acts on; UsageError where an option is missing, or is not of this venue."""
    kind = next(kind for kind in get_args(Target) if kind.__struct_config__.tag == venue)
    fields = {field.name: field.required for field in msgspec.structs.fields(kind)}
    for name in given.keys() - fields.keys():
        takes = ", ".join(map(_option, fields)) or "no such option"
        raise UsageError(f"{_option(name)} is not for {venue}, which takes {takes}")
    for name, required in fields.items():
        if required and name not in given:
            raise UsageError(f"{venue} needs {_option(name)}")
    return kind(**given)


def make_command(
    target: Target,
    account: str,
    leverage: str,
    *,
    command_id: str | None = None,
    issuer: str | None = None,
    expires_in: float | None = None,
) -> SetLeverage:
    """The command as Kafka will have it; UsageError where it would be no command."""
    try:
        command = SetLeverage(
            command_id=command_id or CommandIds()(),
            account=account,
            leverage=_decimal(leverage),
            target=target,
            issued_at=Timestamp.from_epoch(time.time()),
            expires_at=None if expires_in is None else Timestamp.from_epoch(time.time() + expires_in),
            issuer=issuer,
        )
        return decode_command(encode(command))
    except DecodeError as error:
        raise UsageError(_in_options(str(error))) from None


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite():
        raise UsageError("--leverage expects a decimal number, as in 20 or 2.5")
    return number


def _in_options(said: str) -> str:
    """What a decoder said of a field, told of the option instead."""
    found = re.search(r"`\$\.(?:target\.)?(\w+)`", said)
    field = found[1] if found else ""
    return f"{_option(field)} expects {EXPECTED[field]}" if field in EXPECTED else said


async def _send(
    settings: Settings, config: Path | None, command: SetLeverage, *, json: bool, wait_seconds: float | None
) -> int:
    async with connected(settings, config) as client:
        sent = await client.publish(command, timeout=TAKEN_WITHIN, wants_answer=wait_seconds is not None)
        if wait_seconds is None:
            _print_sent(sent, json=json)
            return DONE
        event = await client.answer(sent, timeout=wait_seconds)
    _print_event(event, json=json)
    return DONE if isinstance(event, LeverageChanged) else NO


def _print_sent(sent: SentCommand, *, json: bool) -> None:
    command_id, place = sent.command.command_id, sent.place
    if json:
        where = {} if place is None else {"partition": place.partition, "offset": place.offset}
        print_json({"command_id": command_id} | where)
    else:
        print_line(f"sent {command_id}" if place is None else f"sent {command_id} ({place})")


def _print_event(event: Event, *, json: bool) -> None:
    if json:
        print_encoded(encode(event))
    else:
        console().print(event_line(event), soft_wrap=True)


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")
