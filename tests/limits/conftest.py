"""A redis-server, and one replica's way to it."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from gateway.limits.redis_store import RedisStore
from tests.limits.redis_server import SERVER, RedisServer


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[RedisServer]:
    if SERVER is None:
        pytest.skip("neither redis-server nor valkey-server is installed")
    server = RedisServer(tmp_path)
    await server.start()
    yield server
    await server.kill()


@pytest.fixture
async def store(server: RedisServer) -> AsyncGenerator[RedisStore]:
    store = RedisStore(server.url)
    yield store
    await store.close()
