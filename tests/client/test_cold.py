"""A cold cache equals a replay of the state topic, over each transport: the small form of `python -m tests.client.cold`."""

import pytest

from gateway.client import connect
from tests.client.cold import both, fill, read_cold, replay, take_out

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


async def test_what_was_taken_out_of_the_state_is_no_lane_until_it_has_a_value_again(kafka_bootstrap, topics):
    await fill(kafka_bootstrap, topics, LANES)
    await take_out(kafka_bootstrap, topics, range(0, LANES, 10))
    await fill(kafka_bootstrap, topics, 50)
    wanted, _ = await replay(kafka_bootstrap, topics)
    assert len(wanted) == LANES - LANES // 10 + 5
    async with connect(f"kafka://{kafka_bootstrap}", topics=topics) as client:
        _, got = await read_cold(client)
    assert got == wanted
