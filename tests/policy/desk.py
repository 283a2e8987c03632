"""Operators with keys, and the records that they write."""

from itertools import count

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from gateway.policy.board import Board
from gateway.policy.file import hash_of
from gateway.policy.signatures import sign
from schemas import Freeze, PolicyApplied, Scope, Timestamp
from schemas.policy import PolicyRecord, encode_policy_record
from tests.kit.clocks import NOON

KEYS = {name: Ed25519PrivateKey.generate() for name in ("kim", "lee", "sam")}
PUBLIC = {name: key.public_key() for name, key in KEYS.items()}
_ids = count(1)


def freeze(state: str = "frozen", scope: Scope | None = None, **more: object) -> Freeze:
    """A freeze of everything."""
    fields = {
        "id": f"id-{next(_ids)}",
        "replaces": None,
        "at": Timestamp.from_epoch(NOON),
        "operator": "kim",
        "reason": "incident",
    }
    return Freeze(**fields | more, scope=scope or Scope(), state=state)


def applied(text: str, role: str = "policy", **more: object) -> PolicyApplied:
    """A policy of this file."""
    fields = {
        "id": f"id-{next(_ids)}",
        "replaces": None,
        "at": Timestamp.from_epoch(NOON),
        "operator": "kim",
        "note": "caps",
    }
    return PolicyApplied(**fields | more, role=role, hash=hash_of(text), file=text)


def signed(record: PolicyRecord, *names: str) -> PolicyRecord:
    """With these operators' signatures."""
    for name in names:
        record = sign(record, name, KEYS[name])
    return record


def put(board: Board, record: PolicyRecord, at: float = NOON) -> str | None:
    """Write it, to a board."""
    return board.take(record.key, encode_policy_record(record), at)


def refused(board: Board, record: PolicyRecord) -> str:
    """Write it, to a board that does not take it."""
    objection = put(board, record)
    assert objection is not None
    return objection


def after(board: Board, record: PolicyRecord) -> PolicyRecord:
    """The record, naming what holds now as what it replaces."""
    current = board.current(record.key)
    return replace(record, replaces=None if current is None else current.id)
