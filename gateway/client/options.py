"""How a client connects to Kafka: aiokafka's own options, by its names, as far as they are of use here."""

import ssl
from typing import Literal, TypedDict


class KafkaOptions(TypedDict, total=False):
    """What `connect` passes on to aiokafka; see its documentation for each."""

    client_id: str
    request_timeout_ms: int
    metadata_max_age_ms: int
    connections_max_idle_ms: int
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    ssl_context: ssl.SSLContext | None
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
    sasl_plain_username: str | None
    sasl_plain_password: str | None
