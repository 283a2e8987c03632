"""Addresses as settings write them: `host:port` to listen on, and which hosts are this machine.

Read by the settings' checks before the start, and by the servers that listen.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit


def parse_listen(text: str) -> tuple[str, int]:
    """Split `host:port` (`127.0.0.1:8080`, `[::1]:0`); port 0 takes a free one. ValueError says what would be right."""
    try:
        parts = urlsplit(f"//{text}")
        if parts.hostname and parts.port is not None and parts.netloc == text and "@" not in text:
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise ValueError('expected "host:port", as in "127.0.0.1:8080" or "[::1]:8080" (port 0 to 65535)')


def is_loopback(host: str) -> bool:
    """Whether the host is this machine by its spelling alone; no name is looked up."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
