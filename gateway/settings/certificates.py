"""The TLS contexts for brokers and for the edge, of the certificate files that the settings name.

The settings' checks make one to see that the files are of use; `kafka.connection` and `edge` make those that are used.
"""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cryptography import x509

from gateway.settings.secret_files import read_password
from gateway.settings.tree import EdgeSettings, KafkaSettings


class CertificateError(Exception):
    """Raised where a certificate file is of no use; holds the setting's name and what would be right."""

    def __init__(self, setting: str, remedy: str, *, table: str = "kafka") -> None:
        super().__init__(f"{table}.{setting}: {remedy}")
        self.setting = setting
        self.remedy = remedy


def tls_context(settings: KafkaSettings, base_dir: Path) -> ssl.SSLContext:
    """A context that checks the broker's name, and shows our certificate where there is one; CertificateError else."""
    ca, certificate, key = (
        str(base_dir / file) if file else None
        for file in (settings.ssl_cafile, settings.ssl_certfile, settings.ssl_keyfile)
    )
    context = trusting(ca)
    if certificate:
        _check_not_expired(Path(certificate))
        try:
            context.load_cert_chain(certificate, key, password=password_of_key(settings, base_dir))
        except (ssl.SSLError, OSError, ValueError) as error:
            remedy = "expected a PEM file, with its key in it or in ssl_keyfile, and its password in ssl_password_file"
            raise CertificateError("ssl_certfile", remedy) from error
    return context


def serving(edge: EdgeSettings, base_dir: Path) -> ssl.SSLContext | None:
    """A context that shows the edge's certificate; None without one, CertificateError where it is of no use."""
    if edge.tls_certfile is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    key = str(base_dir / edge.tls_keyfile) if edge.tls_keyfile else None
    try:
        context.load_cert_chain(str(base_dir / edge.tls_certfile), key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        remedy = "expected a PEM file, with its key in it or in tls_keyfile, without a password"
        raise CertificateError("tls_certfile", remedy, table="edge") from error
    return context


def password_of_key(settings: KafkaSettings, base_dir: Path) -> Callable[[], str]:
    """Reads the password of our certificate's key, and only where one is asked for; SecretFileError, or no password."""
    file = settings.ssl_password_file
    return partial(read_password, "kafka.ssl_password_file", base_dir / file) if file else _no_password


def trusting(ca: Path | str | None) -> ssl.SSLContext:
    """A context that checks names against the authorities of a file, or the system's; CertificateError else."""
    try:
        return ssl.create_default_context(cafile=ca)
    except (ssl.SSLError, OSError) as error:
        raise CertificateError("ssl_cafile", "expected a PEM file of one or more certificates") from error


def ends_at(file: Path) -> float | None:
    """Until when the first certificate of a file is valid, in seconds since 1970; None where there is none."""
    try:
        return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None


def _check_not_expired(file: Path) -> None:
    at = ends_at(file)  # None is told where it is loaded
    if at is not None and at <= datetime.now(UTC).timestamp():
        ended = f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
        raise CertificateError("ssl_certfile", f"the certificate expired at {ended}; renew it")


def _no_password() -> str:
    """Without this, OpenSSL asks on the terminal and the start hangs."""
    return ""
