"""The four topics: made as the settings say, and compared with them."""

import asyncio
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.kafka.broker import Cluster
from gateway.app import Gateway
from gateway.kafka.connection import UnreachableError
from gateway.kafka.topics import check_topics, create_topics, wanted_configs
from gateway.settings.tree import HttpSettings, KafkaSettings, Settings
from schemas.topics import Topics


@pytest.fixture
def settings(kafka_bootstrap):
    run = uuid4().hex[:8]
    names = Topics(
        commands=f"c-{run}",
        events=f"e-{run}",
        state=f"s-{run}",
        dead_letters=f"d-{run}",
        dispositions=f"do-{run}",
        policy=f"p-{run}",
    )
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
    assert {role for role, problem in found.items() if problem.is_fatal} == {"events", "state"}


@pytest.mark.kafka
async def test_one_replica_where_there_are_more_brokers_is_told(tmp_path):
    cluster = Cluster(2)
    await asyncio.to_thread(cluster.start)
    try:
        settings = Settings(kafka=KafkaSettings(bootstrap_servers=cluster.bootstrap_servers, partitions=1))
        await create_topics(settings, base_dir=tmp_path)
        problems = await check_topics(settings, base_dir=tmp_path)
    finally:
        await asyncio.to_thread(cluster.stop)
    assert len(problems) == 6
    assert all("has one replica, where 2 brokers are" in found.problem and not found.is_fatal for found in problems)


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


@pytest.mark.kafka
async def test_events_that_are_compacted_or_kept_for_less_time_than_commands_are_told(settings):
    names = settings.kafka.topics
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
    await admin.start()
    await admin.create_topics(
        [NewTopic(names.events, 3, 1, topic_configs={"cleanup.policy": "compact", "retention.ms": "60000"})]
    )
    await admin.close()
    await create_topics(settings, base_dir=Path())
    compacted, short = await check_topics(settings, base_dir=Path())
    assert (compacted.problem, compacted.is_fatal) == ("has cleanup.policy=compact; it must be delete", True)
    assert (short.problem, short.is_fatal) == (
        "has retention.ms=60000; it must be at least that of the commands, 604800000",
        False,
    )


@pytest.mark.kafka
async def test_topics_of_different_numbers_of_partitions_start_no_gateway(settings, tmp_path):
    names = settings.kafka.topics
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(names.events, 6, 1)])
    await admin.close()
    await create_topics(settings, base_dir=Path())
    listening = msgspec.structs.replace(settings, http=HttpSettings(listen="127.0.0.1:0"))
    gateway = Gateway(listening, base_dir=tmp_path)
    with pytest.raises(BaseExceptionGroup) as ended:
        await gateway.run(asyncio.Event())
    assert ended.group_contains(UnreachableError, match="has 6 partitions; kafka.partitions is 3, .* never grow them")
