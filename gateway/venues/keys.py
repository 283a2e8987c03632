"""The three kinds of signing key, and reading an account's credentials from its files.

`gateway.venues.accounts` loads them at start and again when the files change; `signing` in each venue's room uses them.
"""

import hashlib
import hmac
import re
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.settings.secret_files import SecretFileError, read_text
from gateway.settings.tree import CredentialSettings
from gateway.venues.credentials import Credentials, SigningKey

SMALLEST_RSA_BITS = 2048
NOT_ENCRYPTED = "the key is not encrypted; take private_key_password_file out, or encrypt it"
_ASSIGNMENT = re.compile(r"(export\s+)?[A-Za-z_]\w*=[^=]")  # base64 has = too, at its end only


class CredentialError(Exception):
    """Raised where a credential file cannot be used; its text names the setting and what would be right."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")
        self.setting = setting
        self.problem = problem


class HmacKey:
    """HMAC-SHA256; the keyed state is made once and copied, which is cheaper than keying anew."""

    def __init__(self, secret: str) -> None:
        self._keyed = hmac.new(secret.encode(), digestmod=hashlib.sha256)

    def sign(self, payload: bytes) -> bytes:
        """The 32 bytes of the digest."""
        keyed = self._keyed.copy()
        keyed.update(payload)
        return keyed.digest()

    def __repr__(self) -> str:
        return "HmacKey(…)"


class RsaKey:
    """RSASSA-PKCS1-v1_5 with SHA-256."""

    def __init__(self, key: RSAPrivateKey) -> None:
        self._key = key

    def sign(self, payload: bytes) -> bytes:
        """As many bytes as the key is long."""
        return self._key.sign(payload, padding.PKCS1v15(), hashes.SHA256())

    def __repr__(self) -> str:
        return "RsaKey(…)"


class Ed25519Key:
    """Ed25519 over the payload itself (RFC 8032)."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def sign(self, payload: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(payload)

    def __repr__(self) -> str:
        return "Ed25519Key(…)"


def load_credentials(settings: CredentialSettings, base_dir: Path) -> Credentials:
    """Read one account's keys for one venue; CredentialError where a file cannot be used."""
    passphrase = None
    if settings.passphrase_file is not None:
        passphrase = _header_text("passphrase_file", base_dir / settings.passphrase_file)
    return Credentials(
        api_key=_one_word("api_key_file", _text("api_key_file", base_dir / settings.api_key_file)),
        signing_key=_signing_key(settings, base_dir),
        passphrase=passphrase,
        simulated=settings.simulated,
    )


def fingerprint(settings: CredentialSettings, base_dir: Path) -> tuple[tuple[int, int, int], ...]:
    """What changes when one of the files does: inode, size and time of change in ns; zeros for a file not there."""
    named = msgspec.structs.asdict(settings).items()
    return tuple(_state(base_dir / file) for name, file in named if name.endswith("_file") and file is not None)


def parse_private_key(pem: bytes, password: str | None = None) -> SigningKey:
    """Read an RSA or Ed25519 key; CredentialError for any other, and for a password that is missing or wrong."""
    try:
        key = load_pem_private_key(pem, password=None if password is None else password.encode())
    except TypeError as error:
        needed = "the key is encrypted; name its password's file as private_key_password_file"
        raise CredentialError("private_key_file", needed if password is None else NOT_ENCRYPTED) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if password is not None and b"ENCRYPTED" in pem:
            raise CredentialError("private_key_password_file", "the password does not open the key") from error
        raise CredentialError("private_key_file", "not a PEM private key (PKCS#8: RSA or Ed25519)") from error
    if isinstance(key, Ed25519PrivateKey):
        return Ed25519Key(key)
    if not isinstance(key, RSAPrivateKey):
        raise CredentialError("private_key_file", "neither an RSA nor an Ed25519 key")
    if key.key_size < SMALLEST_RSA_BITS:
        raise CredentialError("private_key_file", f"an RSA key needs at least {SMALLEST_RSA_BITS} bits")
    return RsaKey(key)


def _signing_key(settings: CredentialSettings, base_dir: Path) -> SigningKey:
    if settings.private_key_file is not None:
        pem = _text("private_key_file", base_dir / settings.private_key_file).encode()
        file = settings.private_key_password_file
        return parse_private_key(pem, None if file is None else _text("private_key_password_file", base_dir / file))
    if settings.api_secret_file is None:
        raise CredentialError("api_secret_file", "give this, or private_key_file")
    secret = _text("api_secret_file", base_dir / settings.api_secret_file)
    if secret.startswith("-----BEGIN"):
        raise CredentialError("api_secret_file", "a PEM file is there, not a secret; name it as private_key_file")
    return HmacKey(_one_word("api_secret_file", secret))


def _header_text(setting: str, path: Path) -> str:
    """A text that goes into an HTTP header: one line of printable ASCII."""
    text = _text(setting, path)
    if not (text.isascii() and text.isprintable()):
        raise CredentialError(setting, "the file must hold one line of printable ASCII and nothing else")
    return text


def _one_word(setting: str, text: str) -> str:
    """A key as venues give them: printable ASCII without white space, and not a line of an environment file."""
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise CredentialError(
            setting, "the file must hold one line of printable ASCII, without white space, and nothing else"
        )
    if _ASSIGNMENT.match(text):
        raise CredentialError(setting, "the file must hold the key alone, without a name and = before it")
    return text


def _text(setting: str, path: Path) -> str:
    try:
        return read_text(setting, path)
    except SecretFileError as error:
        raise CredentialError(setting, error.problem) from None


def _state(path: Path) -> tuple[int, int, int]:
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return (0, 0, 0)
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
