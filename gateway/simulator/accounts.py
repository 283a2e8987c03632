"""The accounts that the simulated venues know, with the key that each venue would hold of them.

They come from `demo_accounts` or from a TOML file; `signatures` and the venues read them.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from msgspec import Struct

from gateway.simulator.exchange import VenueWord

PositionMode = Literal["net_mode", "long_short_mode"]
BINANCE: tuple[VenueWord, ...] = ("binance_margin", "binance_usdm", "binance_portfolio")

SPOT, FUTURES, MULTI_CURRENCY, PORTFOLIO_MARGIN = 1, 2, 3, 4
"""OKX account levels (`acctLv`)."""


_IN_FILES = {"acct_lv": "account_level", "pos_mode": "position_mode", "allow_20": "allows_20x"}


class SimulatedAccount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=_IN_FILES):
    """One key at one venue, and what the venue allows its owner.

    In files three names are longer: `account_level`, `position_mode`, `allows_20x`.

    Attributes:
        name: as the journal and the state call it; the gateway's own name for the account keeps them comparable.
        secret: of an HMAC key; else `public_key` is there.
        public_key: PEM of an RSA or Ed25519 key (Binance).
        private_key: PEM of its other half, for whoever writes the trader's configuration; the venue never reads it.
        passphrase: OKX.
        acct_lv: OKX `acctLv`: 1 spot, 2 futures, 3 multi-currency, 4 portfolio margin.
        pos_mode: OKX `posMode`.
        simulated: OKX: a demo-trading key.
        allow_20: Binance cross margin: compliance allows it.
    """

    name: str
    venue: VenueWord
    api_key: str
    secret: str | None = None
    public_key: str | None = None
    private_key: str | None = None
    passphrase: str | None = None
    acct_lv: Literal[1, 2, 3, 4] = 2
    pos_mode: PositionMode = "net_mode"
    simulated: bool = False
    allow_20: bool = False

    def __repr__(self) -> str:
        """Without keys."""
        return f"SimulatedAccount(name={self.name!r}, venue={self.venue!r})"


class AccountsFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A TOML file of `[[accounts]]` tables with the fields of SimulatedAccount."""

    accounts: tuple[SimulatedAccount, ...]


def read_accounts(path: Path) -> tuple[SimulatedAccount, ...]:
    """The accounts of a TOML file; OSError or msgspec.ValidationError where it is none."""
    return msgspec.toml.decode(path.read_bytes(), type=AccountsFile).accounts


def write_accounts(path: Path, accounts: Iterable[SimulatedAccount]) -> None:
    """Write what `read_accounts` reads, for a simulator in another process; only its owner may read the file."""
    path.touch(mode=0o600)
    path.write_text("\n".join(map(_table, accounts)), "utf-8")


def _table(account: SimulatedAccount) -> str:
    # JSON's texts, numbers and booleans are TOML's too; TOML has no null.
    fields = cast("dict[str, Any]", msgspec.to_builtins(account))
    given = ((name, value) for name, value in fields.items() if value is not None)
    return "[[accounts]]\n" + "".join(f"{name} = {msgspec.json.encode(value).decode()}\n" for name, value in given)


def demo_accounts() -> tuple[SimulatedAccount, ...]:
    """`desk-1` at every venue, an Ed25519 desk at Binance, every mode of OKX.

    The keys are the same in every process, so that what is started apart agrees; they are worth nothing elsewhere.
    """
    return (
        *(_with_secret("desk-1", venue) for venue in (*BINANCE, "ztdx")),
        *_with_key_pair("desk-ed25519"),
        *_okx_accounts(),
    )


def _with_secret(name: str, venue: VenueWord) -> SimulatedAccount:
    api_key, secret = _made_up(name, venue, "key"), _made_up(name, venue, "secret")
    return SimulatedAccount(name=name, venue=venue, api_key=api_key, secret=secret, allow_20=True)


def _made_up(*parts: str) -> str:
    return hashlib.sha256("/".join(("demo", *parts)).encode()).hexdigest()


def _with_key_pair(name: str) -> tuple[SimulatedAccount, ...]:
    private_key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(_made_up(name, "private key")))
    private = private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = (
        private_key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    return tuple(
        SimulatedAccount(
            name=name, venue=venue, api_key=_made_up(name, venue, "key"), public_key=public, private_key=private
        )
        for venue in BINANCE
    )


def _okx_accounts() -> tuple[SimulatedAccount, ...]:
    return (
        _okx("desk-1"),
        _okx("okx-hedge", pos_mode="long_short_mode"),
        _okx("okx-spot", acct_lv=SPOT),
        _okx("okx-multi", acct_lv=MULTI_CURRENCY),
        _okx("okx-portfolio", acct_lv=PORTFOLIO_MARGIN),
        _okx("okx-demo", simulated=True),
    )


def _okx(
    name: str,
    *,
    acct_lv: Literal[1, 2, 3, 4] = FUTURES,
    pos_mode: PositionMode = "net_mode",
    simulated: bool = False,
) -> SimulatedAccount:
    return SimulatedAccount(
        name=name,
        venue="okx",
        api_key=_made_up(name, "okx", "key"),
        secret=_made_up(name, "okx", "secret"),
        passphrase=_made_up(name, "okx", "passphrase")[:16],
        acct_lv=acct_lv,
        pos_mode=pos_mode,
        simulated=simulated,
    )
