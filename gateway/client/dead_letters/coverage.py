"""What an answer rests on: which offsets of which partitions were looked at, and whether that is all there was."""

from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from gateway.client.dead_letters.log import Place
from gateway.client.reading import Range


class PartitionCoverage(Struct, frozen=True, kw_only=True, rename={"begin": "from", "end": "to"}):
    """What was looked at of one partition: from this offset to the first that was not looked at."""

    partition: int
    begin: int
    end: int


class Coverage(Struct, frozen=True, kw_only=True, tag_field="type", tag="Coverage"):
    """What an answer rests on, and whether that is all there was."""

    partitions: list[PartitionCoverage]
    complete: bool


def coverage(looked_at: Mapping[int, Range], there: Mapping[int, Range]) -> Coverage:
    """What was looked at of what is there."""
    rows = [
        PartitionCoverage(partition=number, begin=span.begin, end=span.end)
        for number, span in sorted(looked_at.items())
    ]
    return Coverage(partitions=rows, complete=dict(looked_at) == dict(there))


def coverage_of_places(chosen: Collection[Place], judged: Iterable[Place]) -> Coverage:
    """How far chosen letters were judged: of each partition up to the first that was not."""
    done = set(judged)
    by_partition: dict[int, list[int]] = {}
    for partition, offset in chosen:
        by_partition.setdefault(partition, []).append(offset)
    rows: list[PartitionCoverage] = []
    for partition, offsets in sorted(by_partition.items()):
        left = [offset for offset in offsets if (partition, offset) not in done]
        end = min(left) if left else max(offsets) + 1
        rows.append(PartitionCoverage(partition=partition, begin=min(offsets), end=end))
    return Coverage(partitions=rows, complete=done.issuperset(chosen))
