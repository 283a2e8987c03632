"""A session to an address, by both ways to call, and what a venue speaks TLS with."""

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from gateway.transport.session import VenueSession
from tests.certificates import Authority


@pytest.fixture
def tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ssl.SSLContext:
    """What a venue speaks TLS with on 127.0.0.1, and whose authority is trusted while the test runs."""
    authority = Authority(tmp_path, "ours")
    serving_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving_tls.load_cert_chain(authority.issue("venue"))
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", ssl.create_default_context(cafile=authority.file))
    return serving_tls


@pytest.fixture(params=["wire", "session"])
def session_to(request: pytest.FixtureRequest):
    """Opens a session to an address; every rule holds of both ways to call."""

    @asynccontextmanager
    async def opened(url: str, call_timeout: float = 5.0, proxy: str | None = None) -> AsyncGenerator[VenueSession]:
        session = VenueSession(url, call_timeout=call_timeout, client=request.param, proxy=proxy)
        await session.start()
        try:
            yield session
        finally:
            await session.close()

    return opened
