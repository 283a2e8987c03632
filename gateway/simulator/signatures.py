"""Checks signatures the way the venues do: over the exact bytes they received, with the key they hold.

This is the simulator's own reading of the venues' pages; it shares nothing with what the gateway signs with.
"""

import base64
import binascii
import hashlib
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gateway.simulator.accounts import SimulatedAccount


class Holder:
    """An account as its venue knows it, with its key read once."""

    def __init__(self, account: SimulatedAccount) -> None:
        self.account = account
        self._secret = (account.secret or "").encode()
        self._public_key = _public_key(account)

    def signed(self, payload: bytes, signature: str) -> bool:
        """Whether a signature of the Binance family is of this payload: hex of HMAC, base64 of RSA and Ed25519."""
        if self._public_key is None:
            return _same(hmac.digest(self._secret, payload, hashlib.sha256).hex(), signature.lower())
        try:
            raw = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            return False
        return _verifies(self._public_key, raw, payload)

    def signed_in_base64(self, payload: bytes, signature: str) -> bool:
        """Whether an OKX signature is of this payload: base64 of HMAC-SHA256."""
        expected = base64.b64encode(hmac.digest(self._secret, payload, hashlib.sha256)).decode()
        return _same(expected, signature)


def _same(expected: str, found: str) -> bool:
    return hmac.compare_digest(expected.encode(), found.encode("utf-8", "surrogateescape"))


def _public_key(account: SimulatedAccount) -> RSAPublicKey | Ed25519PublicKey | None:
    if account.public_key is None:
        if not account.secret:
            raise ValueError(f"account {account.name} at {account.venue} has neither secret nor public_key")
        return None
    key = load_pem_public_key(account.public_key.encode())
    if not isinstance(key, RSAPublicKey | Ed25519PublicKey):
        raise ValueError(f"account {account.name} at {account.venue}: public_key must be RSA or Ed25519")  # noqa: TRY004 - a wrong setting
    return key


def _verifies(key: RSAPublicKey | Ed25519PublicKey, signature: bytes, payload: bytes) -> bool:
    try:
        if isinstance(key, RSAPublicKey):
            key.verify(signature, payload, PKCS1v15(), SHA256())
        else:
            key.verify(signature, payload)
    except InvalidSignature:
        return False
    return True
