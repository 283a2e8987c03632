"""Operators' Ed25519 signatures of policy records: made on the command line, checked by every replica.

What is signed is the whole record: its scope or rules, its own id, and the id of the record that it replaces. So a
signature of one scope is none of another, and one of earlier is of no use once something else holds.
"""

import base64
from collections.abc import Mapping

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from schemas.policy import OperatorSignature, PolicyRecord, signature_bytes, signed_bytes

OperatorKeys = Mapping[str, Ed25519PublicKey]


def operator_of(key: Ed25519PrivateKey, operators: OperatorKeys) -> str | None:
    """Whose key this is; None where the settings name nobody's."""
    mine = key.public_key().public_bytes_raw()
    return next((name for name, public in operators.items() if public.public_bytes_raw() == mine), None)


def sign(record: PolicyRecord, operator: str, key: Ed25519PrivateKey) -> PolicyRecord:
    """The record with one more signature."""
    made = base64.b64encode(key.sign(signed_bytes(record))).decode()
    others = tuple(one for one in record.signatures if one.operator != operator)
    return msgspec.structs.replace(record, signatures=(*others, OperatorSignature(operator=operator, signature=made)))


def signers(record: PolicyRecord, operators: OperatorKeys) -> tuple[set[str], list[str]]:
    """The operators who signed this very record, and what is wrong with the other signatures."""
    content = signed_bytes(record)
    signed: set[str] = set()
    wrong: list[str] = []
    for one in record.signatures:
        key = operators.get(one.operator)
        if key is None:
            wrong.append(f"the settings name no operator {one.operator!r}")
        elif _is_valid(one, key, content):
            signed.add(one.operator)
        else:
            wrong.append(f"the signature of {one.operator} is not of this record")
    return signed, wrong


def _is_valid(signature: OperatorSignature, key: Ed25519PublicKey, content: bytes) -> bool:
    try:
        key.verify(signature_bytes(signature), content)
    except (InvalidSignature, ValueError):
        return False
    return True
