"""Where keys belong, and what is said of partitions that were added."""

from types import SimpleNamespace
from typing import Any, cast

from aiokafka.cluster import ClusterMetadata

from gateway.kafka.partitioner import Partitioner
from gateway.settings.tree import KafkaSettings


def metadata(error: int, partitions: int) -> Any:
    rows = [(0, number, 1, [1], [1]) for number in range(partitions)]
    topics = [(error, KafkaSettings().topics.commands, False, rows)]
    return SimpleNamespace(API_VERSION=1, controller_id=1, brokers=[(1, "host", 9092, None)], topics=topics)


def counted(partitioner: Partitioner, cluster: ClusterMetadata) -> Partitioner:
    partitioner.count(cast("Any", cluster))
    return partitioner


def test_a_key_stays_on_its_partition_while_the_metadata_is_in_error():
    cluster = ClusterMetadata()
    partitioner = Partitioner(KafkaSettings())
    cluster.update_metadata(metadata(0, 17))
    before = counted(partitioner, cluster).partition_of(b"binance_usdm:a")
    assert before > 0
    cluster.update_metadata(metadata(3, 0))  # UNKNOWN_TOPIC_OR_PARTITION, as while a broker starts
    assert cluster.partitions_for_topic(KafkaSettings().topics.commands) is None
    assert counted(partitioner, cluster).partition_of(b"binance_usdm:a") == before


def test_a_number_of_partitions_that_is_not_the_settings_is_told():
    cluster = ClusterMetadata()
    partitioner = Partitioner(KafkaSettings())
    cluster.update_metadata(metadata(0, 12))
    assert counted(partitioner, cluster).change() is None
    cluster.update_metadata(metadata(0, 17))
    assert "has 17 partitions, not the 12 of kafka.partitions" in str(counted(partitioner, cluster).change())
