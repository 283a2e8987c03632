"""The frame that the other tests stand on: a broker, its topics, and the clock."""

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from schemas.topics import Topics
from tests.kit.clocks import FakeClock


@pytest.mark.kafka
@pytest.mark.parametrize("topics", [3], indirect=True)
async def test_topics_are_new_and_have_the_partitions_asked_for(kafka_bootstrap: str, topics: Topics):
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    try:
        found = await admin.describe_topics([topics.commands, topics.dead_letters])
    finally:
        await admin.close()
    assert [len(topic["partitions"]) for topic in found] == [3, 3]


def test_both_readings_of_the_fake_clock_advance_together(clock: FakeClock):
    monotonic, wall = clock.monotonic(), clock.wall()
    clock.advance(2.5)
    assert (clock.monotonic() - monotonic, clock.wall() - wall) == (2.5, 2.5)
