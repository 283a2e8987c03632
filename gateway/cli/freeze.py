"""`leverage-gateway freeze`, `lower-only`, `thaw`: stop a scope, let it only lower, let it go on."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from gateway.cli.exits import DONE, UsageError
from gateway.cli.options import ConfigOption, JsonOption, read_settings
from gateway.cli.policy_records import (
    DraftOption,
    Made,
    OperatorOption,
    Signing,
    SignOption,
    common,
    publish,
    said,
)
from gateway.cli.printing import print_json, print_line
from gateway.policy.board import Board, PolicyRefusedError
from schemas import Freeze, FreezeState, Scope, VenueName
from schemas.policy import FREEZE_PREFIX, PolicyRecord, encode_policy_record


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)  # the parser takes no Structs
class ScopeOptions:
    """What it is for; all that is named must match, and without any it is everything."""

    venue: Annotated[VenueName | None, Parameter(help="Of this venue.")] = None
    account: Annotated[str | None, Parameter(help="Of this account.")] = None
    lane: Annotated[str | None, Parameter(help="Lanes like this; * stands for any characters.")] = None
    issuer: Annotated[str | None, Parameter(help="Asked by this engine.")] = None


EVERYTHING = ScopeOptions()
ReasonOption = Annotated[str, Parameter(help="Why, for whoever looks later.")]


async def freeze(
    *,
    reason: ReasonOption,
    scope: ScopeOptions = EVERYTHING,
    operator: OperatorOption = None,
    sign: SignOption = (),
    draft: DraftOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Stop a scope: a second from now no call begins, and what waits is answered `policy`.

    Calls that are at the venue finish and are told. Without a scope it is everything.

    ```sh
    leverage-gateway freeze --reason "margin incident"
    leverage-gateway freeze --venue okx --lane "cross.*" --reason "index outage"
    ```
    """
    return await _put("frozen", reason, scope, operator, Signing(sign, draft), config, json=json)


async def lower_only(
    *,
    reason: ReasonOption,
    scope: ScopeOptions = EVERYTHING,
    operator: OperatorOption = None,
    sign: SignOption = (),
    draft: DraftOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Let a scope only lower: what would raise a lane's leverage is answered `policy`.

    ```sh
    leverage-gateway lower-only --account desk-1 --reason "close of business"
    ```
    """
    return await _put("lower_only", reason, scope, operator, Signing(sign, draft), config, json=json)


async def thaw(
    *,
    reason: ReasonOption,
    scope: ScopeOptions = EVERYTHING,
    operator: OperatorOption = None,
    sign: SignOption = (),
    draft: DraftOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Let a scope go on that was stopped, named as it was then; where operators are named, two of them must sign.

    ```sh
    leverage-gateway thaw --venue okx --lane "cross.*" --reason "index is back" --sign kim.pem --sign lee.pem
    ```
    """
    return await _put("open", reason, scope, operator, Signing(sign, draft), config, json=json)


async def _put(  # noqa: PLR0917 - what the three commands were given
    state: FreezeState,
    reason: str,
    options: ScopeOptions,
    operator: str | None,
    signing: Signing,
    config: Path | None,
    *,
    json: bool,
) -> int:
    settings = read_settings(config, with_accounts=False)
    scope, why = make_scope(options), said(reason, "--reason")

    def make(board: Board) -> PolicyRecord:
        key = f"{FREEZE_PREFIX}{scope}"
        if state == "open":
            _check_stopped(board, key)
        return Freeze(**common(board, key, operator), scope=scope, state=state, reason=why)

    made = await publish(settings, config, make, signing)
    if json:
        print_json(msgspec.Raw(encode_policy_record(made.record)))
    else:
        print_line(_told(made, state, scope))
    return DONE


def make_scope(options: ScopeOptions) -> Scope:
    """The scope that options name; UsageError where it could be no command's."""
    given = {
        "venue": options.venue,
        "account": options.account,
        "lane": options.lane,
        "issuer": options.issuer,
    }
    try:
        return msgspec.convert({name: value for name, value in given.items() if value is not None}, Scope)
    except msgspec.ValidationError as error:
        raise UsageError(f"no such scope: {error}") from None


def _check_stopped(board: Board, key: str) -> None:
    held = [freeze.key for freeze in board.freezes.values() if freeze.state != "open"]
    if key not in held:
        raise PolicyRefusedError(f"not written: {key} is not stopped; {_stopped(held)}")


def _stopped(keys: Iterable[str]) -> str:
    named = [key.removeprefix(FREEZE_PREFIX) for key in keys]
    return f"stopped are {', '.join(named)}" if named else "nothing is"


def _told(made: Made, state: FreezeState, scope: Scope) -> str:
    what = {"frozen": "frozen", "lower_only": "only lowered from now on", "open": "open again"}[state]
    if made.offset is None:
        return f"{scope} is not {what} yet: another operator has to countersign"
    before = made.before
    was = f"; before: {before.state} by {before.operator}, {before.reason}" if isinstance(before, Freeze) else ""
    return f"{scope} is {what} (record {made.offset}){was}"
