"""Addresses as settings write them: `host:port` to listen on, URLs to call, and which hosts are this machine.

Read by the settings' checks before the start, and by the servers that listen.
"""

import re
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


def url_host(host: str) -> str:
    """A host as a URL has it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def is_wildcard(host: str) -> bool:
    """Whether it stands for all addresses of this machine, and is none that can be called."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def is_clear(url: str) -> bool:
    """Whether what is sent there leaves this machine without TLS."""
    split = urlsplit_or_none(url)
    return split is not None and split[0] == "http" and not is_loopback(split[1])


def urlsplit_or_none(url: str) -> tuple[str, str] | None:
    """The scheme and host of a URL that has both, and a port that is one; None for anything else."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return (parts.scheme, parts.hostname) if parts.hostname else None


def wrong_base_url(url: str, *, allow_http: bool = False) -> str | None:
    """What is wrong with a venue's address; a path is a proxy's prefix, which signatures do not cover."""
    split = urlsplit_or_none(url)
    if split is None or split[0] not in {"http", "https"}:
        return 'expected "https://host" or "https://host:port"'
    if "@" in url:
        return "must hold no user name or password; keys are named under accounts"
    if re.search(r"[\s?#]", url):
        return 'expected "https://host" or "https://host/prefix", without a query or white space'
    if is_clear(url) and not allow_http:
        return "must be https; http is for addresses of this machine (127.0.0.1, localhost)"
    return None
