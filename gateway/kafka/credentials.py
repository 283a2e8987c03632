# pyright: reportPrivateUsage=false
# ruff: noqa: SLF001 - aiokafka has no way to give a client another password
"""What we show brokers, read anew when its files change: certificates, authorities, passwords.

`connection` read them first. A TLS context is changed in place and so serves every client's next connection; a password
is kept in the options for new clients, and given to the one client that lives as long as the process. Tokens need none
of this: they are read at each login.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from gateway.kafka.connection import client_options
from gateway.settings.certificates import CertificateError, ends_at, password_of_key
from gateway.settings.secret_files import SecretFileError
from gateway.settings.tree import KafkaSettings

LOOK_INTERVAL = 5.0  # seconds between two looks at the files
WATCHED = ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_password_file", "sasl_password_file")
PASSWORD = "sasl_plain_password"  # noqa: S105 - aiokafka's name for it


class CredentialObserver(Protocol):
    """Is told what became of changed files; never what is in them."""

    def certificate_ends(self, at: float) -> None:
        """Our certificate is valid until then (seconds since 1970)."""
        ...

    def reloaded_kafka_credentials(self) -> None:
        """New files are used from the next connection on."""
        ...

    def kept_old_kafka_credentials(self, problem: str) -> None:
        """New files cannot be used, so what was read before stays in use."""
        ...


class BrokerCredentials:
    """Keeps the options of all clients in step with the files that the settings name.

    Args:
        settings: name the files.
        base_dir: where relative file names start.
        options: of all clients; they are changed in place.
        consumer: the consumer that lives on, where there is one.
        observer: is told.
        secrets_changed: called before new secrets are used.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        base_dir: Path,
        options: dict[str, Any],
        *,
        consumer: Callable[[], Any],
        observer: CredentialObserver,
        secrets_changed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._options = options
        self._consumer = consumer
        self._observer = observer
        self._secrets_changed = secrets_changed
        self._base_dir = base_dir
        self._files = [base_dir / file for name in WATCHED if (file := getattr(settings, name))]
        self._seen = self._fingerprint()
        self._tell_end()

    async def watch(self) -> None:
        """Look for changed files for ever."""
        while self._files:
            await asyncio.sleep(LOOK_INTERVAL)
            self.reload()

    def reload(self) -> None:
        """Use the files as they are now, where they changed; what cannot be used is told once, and not used."""
        seen = self._fingerprint()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            fresh = client_options(self._settings, self._base_dir)
            self._secrets_changed()
            self._use(fresh)
        except (CertificateError, SecretFileError) as error:
            self._observer.kept_old_kafka_credentials(str(error))
            return
        except (OSError, ValueError) as error:  # ssl's too: the files changed once more; the next look finds them whole
            self._observer.kept_old_kafka_credentials(f"files that change just now: {type(error).__name__}")
            return
        self._tell_end()
        self._observer.reloaded_kafka_credentials()

    def _use(self, fresh: dict[str, Any]) -> None:
        if "ssl_context" in self._options:
            self._load(self._options["ssl_context"])
        if PASSWORD in self._options:
            self._options[PASSWORD] = fresh[PASSWORD]
            consumer = self._consumer()
            if consumer is not None:
                consumer._client._sasl_plain_password = fresh[PASSWORD]

    def _load(self, context: Any) -> None:
        """Authorities are added: those that are gone from the file stay trusted until the next start."""
        ca, certificate, key = (
            self._base_dir / file if file else None
            for file in (self._settings.ssl_cafile, self._settings.ssl_certfile, self._settings.ssl_keyfile)
        )
        if ca:
            context.load_verify_locations(ca)
        if certificate:
            context.load_cert_chain(certificate, key, password=password_of_key(self._settings, self._base_dir))

    def _tell_end(self) -> None:
        if self._settings.ssl_certfile and (at := ends_at(self._base_dir / self._settings.ssl_certfile)) is not None:
            self._observer.certificate_ends(at)

    def _fingerprint(self) -> list[tuple[int, ...] | None]:
        return [_fingerprint(file) for file in self._files]


def _fingerprint(file: Path) -> tuple[int, ...] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
