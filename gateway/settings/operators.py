"""The keys of those who may freeze, thaw and change caps: public ones in the settings, private ones in their hands."""

from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from gateway.settings.tree import PolicySettings


class OperatorKeyError(Exception):
    """Raised where a file holds no Ed25519 key of an operator; its text says what would be right."""


def operator_keys(policy: PolicySettings, base_dir: Path) -> Mapping[str, Ed25519PublicKey]:
    """Every operator's public key; OperatorKeyError where a file is of no use."""
    return {
        name: read_public_key(base_dir / operator.public_key_file)
        for name, operator in policy.operators.items()
        if operator.public_key_file is not None
    }


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read one operator's public key from a PEM file; OperatorKeyError else."""
    remedy = "expected a PEM file with an Ed25519 public key: openssl pkey -in kim.pem -pubout -out kim.pub.pem"
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise OperatorKeyError(remedy) from error
    if not isinstance(key, Ed25519PublicKey):
        raise OperatorKeyError(remedy)
    return key


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read one operator's private key from a PEM file without a password; OperatorKeyError else."""
    remedy = f"{path}: expected a PEM file with an Ed25519 key, without a password: openssl genpkey -algorithm ed25519"
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise OperatorKeyError(remedy) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise OperatorKeyError(remedy)
    return key
