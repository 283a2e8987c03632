"""The four topics: made as the settings say, and compared with them."""

from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from gateway.kafka.connection import UnreachableError
from gateway.kafka.topics import check_topics, create_topics, wanted_configs
from gateway.settings.tree import KafkaSettings, Settings
from schemas.topics import Topics


@pytest.fixture
def settings(kafka_bootstrap):
    run = uuid4().hex[:8]
    names = Topics(commands=f"c-{run}", events=f"e-{run}", state=f"s-{run}", dead_letters=f"d-{run}")
    return Settings(kafka=KafkaSettings(bootstrap_servers=kafka_bootstrap, topics=names, partitions=3))


@pytest.mark.kafka
async def test_topics_are_made_once_and_then_are_right(settings):
    assert {made.result for made in await create_topics(settings, base_dir=Path())} == {"created"}
    assert {made.result for made in await create_topics(settings, base_dir=Path())} == {"exists"}
    assert await check_topics(settings, base_dir=Path()) == []


@pytest.mark.kafka
async def test_missing_topics_are_told_and_not_made_by_the_looking(settings):
    for _ in range(2):
        problems = await check_topics(settings, base_dir=Path())
        assert [problem.topic for problem in problems] == list(msgspec.structs.asdict(settings.kafka.topics).values())
        assert all(problem.missing and "topics create" in problem.problem for problem in problems)


@pytest.mark.kafka
async def test_what_differs_from_the_settings_is_told_by_topic(settings):
    names = settings.kafka.topics
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
    await admin.start()
    await admin.create_topics(
        [
            NewTopic(names.events, 2, 1),
            NewTopic(names.state, 3, 1),
            NewTopic(names.dead_letters, 3, 1),
        ]
    )
    await admin.close()
    await create_topics(settings, base_dir=Path())
    found = {problem.role: problem for problem in await check_topics(settings, base_dir=Path())}
    assert found.keys() == {"events", "state", "dead_letters"}
    assert "has 2 partitions; kafka.partitions is 3" in found["events"].problem
    assert "has cleanup.policy=delete; it must be compact" in found["state"].problem
    assert "has max.message.bytes=1048588; it must be at least" in found["dead_letters"].problem
    assert not any(problem.missing for problem in found.values())


@pytest.mark.kafka
async def test_more_replicas_than_brokers_is_refused_in_words(settings):
    many = msgspec.structs.replace(settings, kafka=msgspec.structs.replace(settings.kafka, replicas=3))
    with pytest.raises(UnreachableError, match=r"(?i)replication"):
        await create_topics(many, base_dir=Path())


async def test_no_broker_is_told_with_the_setting(unused_tcp_port):
    kafka = KafkaSettings(bootstrap_servers=f"127.0.0.1:{unused_tcp_port}", request_timeout_ms=1000)
    with pytest.raises(UnreachableError, match=r"kafka\.bootstrap_servers"):
        await check_topics(Settings(kafka=kafka), base_dir=Path())


@pytest.mark.parametrize(("replicas", "least"), [(1, "1"), (2, "1"), (3, "2"), (5, "4")])
def test_one_replica_may_be_missing_where_there_are_more(replicas, least):
    assert wanted_configs("events", replicas)["min.insync.replicas"] == least


def test_a_dead_letter_may_be_larger_than_any_command():
    assert int(wanted_configs("dead_letters", 1)["max.message.bytes"]) > int(
        wanted_configs("commands", 1)["max.message.bytes"]
    )
