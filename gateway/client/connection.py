"""`connect`: the one way in, over Kafka or over the edge's WebSocket."""

import ssl
from typing import Unpack
from urllib.parse import urlsplit

from gateway.client.gateway import Client
from gateway.client.kafka import KafkaTransport
from gateway.client.options import KafkaOptions
from schemas.topics import Topics


def connect(
    url: str,
    *,
    token: str | None = None,
    topics: Topics | None = None,
    check_crcs: bool = True,
    **options: Unpack[KafkaOptions],
) -> Client:
    """Return a client for `kafka://host:port,host:port` or `wss://host/v1/stream`, to be used with `async with`.

    Args:
        url: where the gateway's topics are, or its edge.
        token: for an edge; the options that are of use there are `ssl_context` only.
        topics: the gateway's topics, where they have other names.
        check_crcs: False for librdkafka's mock broker, whose transaction markers have none.
        options: further options of aiokafka: `security_protocol`, `ssl_context`, `sasl_mechanism`, `client_id`, …

    Raises:
        ValueError: the address is of no known kind.
        ModuleNotFoundError: the extra `websocket` is not installed, and the address is an edge's.
    """
    parts = urlsplit(url)
    if parts.scheme == "kafka" and parts.netloc:
        servers = parts.netloc.split(",")
        return Client(KafkaTransport(servers, topics, check_crcs=check_crcs, options=options))
    if parts.scheme in {"ws", "wss"} and parts.netloc:
        if not token:
            raise ValueError("an edge wants a token: connect(url, token=…)")
        return _over_edge(url, token, options.get("ssl_context"))
    raise ValueError(f"no gateway is reached by {url!r}: kafka://host:9092,host2:9092 or wss://host/v1/stream")


def _over_edge(url: str, token: str, ssl_context: ssl.SSLContext | None) -> Client:
    try:
        from gateway.client.edge import EdgeTransport  # noqa: PLC0415 - a client of Kafka's has no aiohttp
    except ModuleNotFoundError as error:
        remedy = "pip install 'leverage-gateway[websocket]'"
        raise ModuleNotFoundError(f"an edge is reached by aiohttp, an extra: {remedy}", name=error.name) from error
    return Client(EdgeTransport(url, token, ssl_context=ssl_context))
