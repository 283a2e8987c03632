"""An account's keys at one venue, held so that no log, repr or trace can show them."""

from typing import Protocol

from gateway.outcomes import Refusal
from schemas import VenueName


class SigningKey(Protocol):
    """A secret that signs; HMAC-SHA256, RSA (PKCS#1 v1.5, SHA-256) and Ed25519 exist."""

    def sign(self, payload: bytes) -> bytes:
        """The raw signature of the payload: a digest for HMAC, the signature's bytes else."""
        ...


class Credentials:
    """What one account shows one venue; plain class, so that nothing can encode or print it by accident."""

    __slots__ = ("api_key", "passphrase", "signing_key", "simulated")

    def __init__(
        self, *, api_key: str, signing_key: SigningKey, passphrase: str | None = None, simulated: bool = False
    ) -> None:
        self.api_key = api_key
        self.signing_key = signing_key
        self.passphrase = passphrase
        self.simulated = simulated

    def __repr__(self) -> str:
        return "Credentials(…)"


class Keyring(Protocol):
    """The accounts' keys, as the pipeline asks for them."""

    def knows(self, venue: VenueName, account: str) -> bool:
        """Whether the account has credentials for the venue."""
        ...

    def credentials(self, venue: VenueName, account: str) -> Credentials | Refusal:
        """The account's keys, or why it is stopped at this venue."""
        ...
