"""One edge a test, on topics of its own."""

import pytest

from tests.edge.rig import answering, caller, edge_of, settings_of


@pytest.fixture
def edge_settings(request, kafka_bootstrap, topics, tmp_path):
    return settings_of(kafka_bootstrap, topics, tmp_path, **getattr(request, "param", {}))


@pytest.fixture
async def edge(edge_settings, tmp_path):
    async with edge_of(edge_settings, tmp_path) as edge:
        yield edge


@pytest.fixture
async def echo(kafka_bootstrap, topics):
    async with answering(kafka_bootstrap, topics) as echo:
        yield echo


@pytest.fixture
async def http(edge):
    async with caller(edge.server.url) as session:
        yield session
