"""What the group says without a broker."""

from types import SimpleNamespace
from typing import Any, cast

from aiokafka.cluster import ClusterMetadata

from gateway.kafka.group import Group
from gateway.kafka_clients import KafkaClients
from gateway.settings.tree import KafkaSettings
from tests.clocks import FakeClock

NONE: Any = None


def metadata(error: int, partitions: int) -> Any:
    rows = [(0, number, 1, [1], [1]) for number in range(partitions)]
    topics = [(error, KafkaSettings().topics.commands, False, rows)]
    return SimpleNamespace(API_VERSION=1, controller_id=1, brokers=[(1, "host", 9092, None)], topics=topics)


def member(cluster: ClusterMetadata) -> Group:
    group = Group(
        KafkaSettings(),
        parts=NONE,
        clients=KafkaClients({}),
        drain_timeout=1.0,
        clock=FakeClock(),
        observer=NONE,
    )
    group.consumer = cast("Any", SimpleNamespace(partitions_for_topic=cluster.partitions_for_topic))
    return group


def test_a_key_stays_on_its_partition_while_the_metadata_is_in_error():
    cluster = ClusterMetadata()
    group = member(cluster)
    cluster.update_metadata(metadata(0, 17))
    before = group.partition_of(b"binance_usdm:a")
    assert before > 0
    cluster.update_metadata(metadata(3, 0))  # UNKNOWN_TOPIC_OR_PARTITION, as while a broker starts
    assert cluster.partitions_for_topic(KafkaSettings().topics.commands) is None
    assert group.partition_of(b"binance_usdm:a") == before


def test_a_number_of_partitions_that_is_not_the_settings_is_told():
    cluster = ClusterMetadata()
    group = member(cluster)
    cluster.update_metadata(metadata(0, 12))
    group.partition_of(b"binance_usdm:a")
    assert group.partition_change() is None
    cluster.update_metadata(metadata(0, 17))
    group.partition_of(b"binance_usdm:a")
    assert "has 17 partitions, not the 12 of kafka.partitions" in str(group.partition_change())
