"""A cold cache equals a replay of the state topic, over each transport: the small form of `python -m tests.client.cold`."""

import pytest

from tests.client.cold import both, fill, read_cold, replay

pytestmark = pytest.mark.kafka
LANES = 2_000


async def test_a_cold_cache_has_what_a_replay_has(kafka_bootstrap, topics, tmp_path):
    written = await fill(kafka_bootstrap, topics, LANES)
    wanted, count = await replay(kafka_bootstrap, topics)
    assert (len(wanted), count) == (LANES, written)
    async with both(kafka_bootstrap, topics, tmp_path) as clients:
        for name, client in clients.items():
            _, got = await read_cold(client)
            assert got == wanted, name
