# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# aiokafka ships no types.
"""The records of one transaction as the client library's own batches: one future a batch, not one a record.

Before it `answer_log`, which hands the batches to the producer.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gateway.ownership.ports import AnswerTopic, OutRecord


class PackedBatch(NamedTuple):
    """Records of one topic, in order, in one of aiokafka's batch builders."""

    topic: AnswerTopic
    builder: Any

    def sent(self, first: int) -> "SentBatch":
        """The same once the broker took it."""
        return SentBatch(self.topic, first, first + self.builder.record_count() - 1)


class SentBatch(NamedTuple):
    """A batch that the broker took, by the offsets of its first and its last record."""

    topic: AnswerTopic
    first: int
    last: int


def pack(create_batch: Callable[[], Any], records: Sequence[OutRecord]) -> list[PackedBatch]:
    """Put the records into as few batches as hold them; those of one topic keep their order."""
    batches: list[PackedBatch] = []
    open_builders: dict[AnswerTopic, Any] = {}
    for topic, key, value, headers in records:
        record = {"timestamp": None, "key": key, "value": value, "headers": list(headers)}
        builder = open_builders.get(topic)
        if builder is None or builder.append(**record) is None:
            builder = open_builders[topic] = create_batch()
            batches.append(PackedBatch(topic, builder))
            builder.append(**record)  # the first of a batch is taken at any size
    return batches
