"""How to reach the brokers: one set of options for every aiokafka consumer, producer and admin client.

Before it come the settings; after it, whoever connects. The password is read from its file here and goes nowhere else.
"""

import asyncio
from pathlib import Path
from typing import Any, cast

from aiokafka.errors import KafkaConnectionError, KafkaError

from gateway.clock import SystemClock
from gateway.kafka.tokens import token_provider
from gateway.settings.certificates import tls_context
from gateway.settings.secret_files import read_password
from gateway.settings.tree import KafkaSettings


class UnreachableError(Exception):
    """Raised where Kafka, or something this gateway needs there, cannot be reached; its text says what and where."""


def client_options(settings: KafkaSettings, base_dir: Path) -> dict[str, Any]:
    """The keyword arguments that consumers, producers and admin clients share.

    Reads the password and certificate files, relative to `base_dir`.

    Raises:
        CertificateError, SecretFileError: a file is of no use.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in settings.bootstrap_servers.split(",")],
        "client_id": settings.client_id,
        "request_timeout_ms": settings.request_timeout_ms,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        options["ssl_context"] = tls_context(settings, base_dir)
    if settings.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.sasl_mechanism
    if settings.security_protocol.startswith("SASL") and settings.sasl_mechanism == "OAUTHBEARER":
        options["sasl_oauth_token_provider"] = token_provider(settings, base_dir, SystemClock().monotonic)
    elif settings.security_protocol.startswith("SASL") and settings.sasl_password_file:
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = read_password(
            "kafka.sasl_password_file", base_dir / settings.sasl_password_file
        )
    return options


def sends_password_in_clear(settings: KafkaSettings) -> bool:
    """Whether whoever is on the way can read the password."""
    return settings.security_protocol == "SASL_PLAINTEXT" and settings.sasl_mechanism == "PLAIN"


def unreachable(settings: KafkaSettings, error: KafkaError | OSError) -> UnreachableError:
    """What to tell people of a connection that failed: where to, why, and the setting to look at."""
    why = "no broker answers" if isinstance(error, KafkaConnectionError) else str(error) or type(error).__name__
    return UnreachableError(f"{where(settings)}: {why}")


def where(settings: KafkaSettings) -> str:
    """Which brokers are meant, by which settings; the begin of what people are told of them."""
    return f"Kafka at {settings.bootstrap_servers} (kafka.bootstrap_servers, {settings.security_protocol})"


def is_kafkas(error: BaseException) -> bool:
    """Whether the client library raised it, or cancelled what nobody here had cancelled."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_kafkas, cast("BaseExceptionGroup[BaseException]", error).exceptions))
    return isinstance(error, KafkaError | TimeoutError | OSError | asyncio.CancelledError)
