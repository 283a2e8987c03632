"""One example of every kind of message: each target, each reason; golden files are made of them.

They stand in the AsyncAPI document too, and tests decode the golden files to see that no release reads them otherwise.
"""

from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256
from typing import Any

from msgspec import UNSET

from schemas.command import SetLeverage
from schemas.disposition import DeadLetterDisposition, DispositionState
from schemas.events import Event, LeverageChanged, LeverageRejected, Reason, fields_of_answer
from schemas.policy import Freeze, PolicyApplied, PolicyRecord, Scope
from schemas.targets import BinanceMargin, BinancePortfolio, BinanceUsdm, Okx, Target, Ztdx, venue_of
from schemas.timestamps import Timestamp

TARGETS: dict[str, Target] = {
    "binance-margin": BinanceMargin(),
    "binance-usdm": BinanceUsdm(symbol="BTCUSDT"),
    "binance-usdm-any-script": BinanceUsdm(symbol="测试USDT"),
    "binance-portfolio": BinancePortfolio(symbol="ETHUSDT"),
    "okx-isolated-pair": Okx(margin_mode="isolated", instrument="BTC-USDT"),
    "okx-cross-pair": Okx(margin_mode="cross", instrument="BTC-USDT"),
    "okx-cross-currency": Okx(margin_mode="cross", currency="BTC"),
    "okx-cross-underlying": Okx(margin_mode="cross", instrument="BTC-USD-200802"),
    "okx-isolated-contract": Okx(margin_mode="isolated", instrument="BTC-USD-200802"),
    "okx-isolated-contract-long": Okx(margin_mode="isolated", instrument="BTC-USD-200802", position_side="long"),
    "okx-cross-swap": Okx(margin_mode="cross", instrument="BTC-USDT-SWAP"),
    "okx-isolated-swap-short": Okx(margin_mode="isolated", instrument="BTC-USDT-SWAP", position_side="short"),
    "ztdx": Ztdx(symbol="BTCUSDT"),
}

POLICY_FILE = '[rules.majors]\nsymbol = "BTC*"\nmaximum = 10\n'
POLICY_FILE_HASH = sha256(POLICY_FILE.encode()).hexdigest()
_ISSUED = Timestamp.parse("2026-11-21T08:00:00.000Z")
_EXPIRES = Timestamp.parse("2026-11-21T08:00:30.000Z")
_OCCURRED = Timestamp.parse("2026-11-21T08:00:00.042Z")


def messages() -> Iterator[tuple[str, SetLeverage | Event]]:
    """Every example with its file name, without suffix."""
    yield from commands()
    yield from changes()
    yield from rejections()


def commands() -> Iterator[tuple[str, SetLeverage]]:
    """One command for each kind of target, and one with only what is required."""
    for number, (name, target) in enumerate(TARGETS.items(), start=1):
        yield f"set-leverage.{name}", _command(number, target)
    yield (
        "set-leverage.only-required",
        SetLeverage(command_id="1", account="desk-1", leverage=Decimal(20), target=TARGETS["binance-usdm"]),
    )
    yield (
        "set-leverage.redriven",
        SetLeverage(
            command_id=_command_id(101),
            account="desk-1",
            leverage=Decimal("2.5"),
            target=TARGETS["okx-cross-swap"],
            redrive_of=_command_id(100),
        ),
    )


def changes() -> Iterator[tuple[str, LeverageChanged]]:
    """One confirmed change for each kind of target, and one that was read back."""
    for number, (name, target) in enumerate(TARGETS.items(), start=1):
        yield f"leverage-changed.{name}", _changed(number, target)
    yield (
        "leverage-changed.read-back",
        LeverageChanged(
            **_about(_command(201, TARGETS["okx-cross-swap"]), attempts=2),
            leverage=Decimal(20),
            requested_leverage=Decimal(20),
            certainty="read_back",
        ),
    )


def rejections() -> Iterator[tuple[str, LeverageRejected]]:
    """One rejection for each reason."""
    usdm, okx = TARGETS["binance-usdm"], TARGETS["okx-isolated-swap-short"]
    rejected = _rejected
    retry_at = Timestamp.parse("2026-11-21T08:01:00.000Z")
    for answer in (
        rejected(301, TARGETS["binance-margin"], "invalid", "leverage 20 is not one of 3, 5, 10"),
        rejected(302, usdm, "unknown_account", "no credentials for desk-1 at binance_usdm", dead_lettered=True),
        rejected(303, usdm, "policy", "the settings allow at most 10 for desk-1"),
        rejected(
            312,
            usdm,
            "policy",
            "leverage 20 is above the maximum of 10 (majors.maximum)",
            policy_version=POLICY_FILE_HASH[:12],
            policy_rules=("majors.maximum",),
        ),
        rejected(304, usdm, "expired", "past expires_at before it could be sent"),
        rejected(305, usdm, "superseded", "a newer command for this lane came", superseded_by=_command_id(306)),
        rejected(307, usdm, "venue_rejected", "Leverage 20 is not valid", 1, venue_code="-4028", http_status=400),
        rejected(308, okx, "unauthorised", "Invalid Sign", 1, venue_code="50113", http_status=401, dead_lettered=True),
        rejected(309, okx, "rate_limited", "no budget before the deadline", dead_lettered=True, retry_at=retry_at),
        rejected(310, usdm, "venue_unavailable", "Service Unavailable.", 5, http_status=503, dead_lettered=True),
        rejected(311, usdm, "outcome_unknown", "no answer, and none to the read-back", 1, dead_lettered=True),
    ):
        by_rule = "" if answer.policy_rules is UNSET else "-rule"
        yield f"leverage-rejected.{answer.reason.replace('_', '-')}{by_rule}", answer


def policy_records() -> Iterator[tuple[str, PolicyRecord]]:
    """One of each kind of record of the policy topic."""
    yield (
        "policy-applied",
        PolicyApplied(
            id=_command_id(401),
            replaces=None,
            at=_OCCURRED,
            operator="kim",
            role="policy",
            note="majors at most 10x",
            hash=POLICY_FILE_HASH,
            file=POLICY_FILE,
        ),
    )
    yield (
        "freeze",
        Freeze(
            id=_command_id(402),
            replaces=None,
            at=_OCCURRED,
            operator="kim",
            scope=Scope(venue="okx", lane="cross.*"),
            state="frozen",
            reason="margin incident",
        ),
    )


def dispositions() -> Iterator[tuple[str, DeadLetterDisposition]]:
    """One thing done with a dead letter of each kind."""
    done: tuple[tuple[DispositionState, dict[str, Any]], ...] = (
        ("redriven", {"command_id": _command_id(502), "redrives": 1, "forced": "obsolete"}),
        ("archived", {}),
        ("open", {}),
        ("mended", {"command_id": _command_id(503), "redrives": 1}),
    )
    for number, (state, more) in enumerate(done, start=1042):
        yield (
            f"dead-letter-disposition.{state}",
            DeadLetterDisposition(
                letter=f"3:{number}",
                state=state,
                batch=f"rd-{_command_id(501)}",
                operator="kim",
                note="the venue was down",
                at=_OCCURRED,
                **more,
            ),
        )


def _command_id(number: int) -> str:
    return f"0193a5c0-6e00-7000-8000-{number:012d}"


def _command(number: int, target: Target) -> SetLeverage:
    return SetLeverage(
        command_id=_command_id(number),
        account="desk-1",
        leverage=Decimal(10 if isinstance(target, BinanceMargin) else 20),
        target=target,
        issued_at=_ISSUED,
        expires_at=_EXPIRES,
        issuer="momentum-7",
    )


def _changed(number: int, target: Target) -> LeverageChanged:
    command = _command(number, target)
    told = venue_of(target) in ("binance_usdm", "binance_portfolio", "ztdx")
    return LeverageChanged(
        **_about(command, attempts=1),
        leverage=command.leverage,
        requested_leverage=command.leverage,
        certainty="confirmed",
        max_notional=Decimal("1000000.0000") if told else None,
    )


def _rejected(
    number: int, target: Target, reason: Reason, message: str, attempts: int = 0, **more: Any
) -> LeverageRejected:
    about = _about(_command(number, target), attempts=attempts)
    return LeverageRejected(**about, leverage=Decimal(20), reason=reason, message=message, **more)


def _about(command: SetLeverage, *, attempts: int) -> dict[str, Any]:
    event_id = f"leverage.commands.v1/3/{int(command.command_id[-12:])}"
    return fields_of_answer(command, event_id=event_id, attempts=attempts, occurred_at=_OCCURRED)
