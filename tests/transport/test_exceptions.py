"""Every exception that a call can meet becomes an outcome, by what it says of whether anything was sent."""

import asyncio
import errno
import inspect
import ssl

import aiohttp
import pytest
from aiohttp import client_exceptions, http_exceptions
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from gateway.outcomes import Ambiguous, Unavailable
from tests.transport.requests import POST, SECRETS

# Every exception class of aiohttp, one way or the other; a new one in a later aiohttp fails here until it is placed.

KEY = ConnectionKey("venue", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None)
INFO = aiohttp.RequestInfo(URL("https://venue/x?signature=W9FJ"), "POST", None, URL("https://venue/x?signature=W9FJ"))  # pyright: ignore[reportArgumentType]
REFUSED = OSError(errno.ECONNREFUSED, "Connection refused")

NEVER_SENT = {
    aiohttp.ClientConnectorError: lambda kind: kind(KEY, REFUSED),
    aiohttp.ClientConnectorDNSError: lambda kind: kind(KEY, REFUSED),
    aiohttp.ClientProxyConnectionError: lambda kind: kind(KEY, REFUSED),
    client_exceptions.UnixClientConnectorError: lambda kind: kind("/nowhere", KEY, REFUSED),
    aiohttp.ClientSSLError: lambda kind: kind(KEY, REFUSED),
    aiohttp.ClientConnectorSSLError: lambda kind: kind(KEY, ssl.SSLError(1, "handshake")),
    aiohttp.ClientConnectorCertificateError: lambda kind: kind(KEY, ssl.SSLCertVerificationError(1, "expired")),
    aiohttp.ConnectionTimeoutError: lambda kind: kind("Connection timeout to host https://venue/x?signature=W9FJ"),
    aiohttp.ServerFingerprintMismatch: lambda kind: kind(b"a", b"b", "venue", 443),
    aiohttp.ClientHttpProxyError: lambda kind: kind(INFO, (), status=407),
    aiohttp.InvalidURL: lambda kind: kind("https://venue/x?signature=W9FJ"),
    client_exceptions.InvalidUrlClientError: lambda kind: kind("https://venue/x?signature=W9FJ"),
    client_exceptions.NonHttpUrlClientError: lambda kind: kind("ftp://venue/x?signature=W9FJ"),
}
PERHAPS_SENT = {
    aiohttp.ClientError: lambda kind: kind("x?signature=W9FJ"),
    aiohttp.ClientConnectionError: lambda kind: kind("x?signature=W9FJ"),
    aiohttp.ClientConnectionResetError: lambda kind: kind("Cannot write to closing transport"),
    aiohttp.ClientOSError: lambda kind: kind(errno.ECONNRESET, "Connection reset by peer"),
    aiohttp.ClientPayloadError: lambda kind: kind("x?signature=W9FJ"),
    aiohttp.ClientResponseError: lambda kind: kind(INFO, (), status=400, message="Bad status line"),
    aiohttp.ContentTypeError: lambda kind: kind(INFO, ()),
    aiohttp.WSServerHandshakeError: lambda kind: kind(INFO, ()),
    aiohttp.TooManyRedirects: lambda kind: kind(INFO, ()),
    aiohttp.ServerConnectionError: lambda kind: kind("x?signature=W9FJ"),
    aiohttp.ServerDisconnectedError: lambda kind: kind("x?signature=W9FJ"),
    aiohttp.ServerTimeoutError: lambda kind: kind("x?signature=W9FJ"),
    aiohttp.SocketTimeoutError: lambda kind: kind("x?signature=W9FJ"),
    client_exceptions.RedirectClientError: lambda kind: kind("x?signature=W9FJ"),
    client_exceptions.UploadAbortedError: lambda kind: kind("x?signature=W9FJ"),
    # What the operating system and asyncio may raise through aiohttp.
    OSError: lambda kind: kind(errno.EPIPE, "Broken pipe"),
    ConnectionResetError: lambda kind: kind(errno.ECONNRESET, "Connection reset by peer"),
    TimeoutError: lambda kind: kind(),
    ssl.SSLError: lambda kind: kind(1, "decryption failed"),
    asyncio.IncompleteReadError: lambda kind: kind(b"", 1),
    http_exceptions.BadStatusLine: lambda kind: kind("HTTP/9"),
    http_exceptions.TransferEncodingError: lambda kind: kind("chunk"),
}
# Websockets are not used, and redirects not followed (a test below): these cannot come.
NOT_OURS = {
    client_exceptions.WSMessageTypeError,
    client_exceptions.InvalidUrlRedirectClientError,
    client_exceptions.NonHttpUrlRedirectClientError,
}


def test_every_exception_class_of_aiohttp_has_its_place():
    classes = {
        kind
        for _, kind in inspect.getmembers(client_exceptions, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == client_exceptions.__name__
    }
    assert classes - NOT_OURS == {kind for kind in NEVER_SENT.keys() | PERHAPS_SENT.keys() if kind in classes}


@pytest.mark.parametrize(
    ("kind", "make", "outcome"),
    [
        *[(kind, make, Unavailable) for kind, make in NEVER_SENT.items()],
        *[(kind, make, Ambiguous) for kind, make in PERHAPS_SENT.items()],
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
async def test_every_exception_becomes_an_outcome_that_shows_no_secret(session_to, kind, make, outcome, monkeypatch):
    async def failing(*_, **__):
        raise make(kind)

    async with session_to("http://127.0.0.1:1") as session:
        monkeypatch.setattr(session._exchange, "begin", failing)
        result = await session.send(POST)
    assert type(result) is outcome
    assert not any(secret in repr(result) for secret in SECRETS)


async def test_a_bug_of_ours_is_no_outcome(session_to, monkeypatch):
    async def failing(*_, **__):
        raise ZeroDivisionError

    async with session_to("http://127.0.0.1:1") as session:
        monkeypatch.setattr(session._exchange, "begin", failing)
        with pytest.raises(ZeroDivisionError):
            await session.send(POST)
