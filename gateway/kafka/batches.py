"""Record batches as the broker hands them out, read where the client library gives up.

Before it, a fetch response that the library could not parse; after it, command records, each with its answer to come.
The format is that of Kafka's record batches (magic 2, KIP-98). Nothing here raises but `DamagedBatchError`.
"""

import hashlib
import struct
from collections.abc import Iterator
from typing import NamedTuple, cast

from aiokafka.record.util import calc_crc32c
from aiokafka.record.util import decode_varint as _library_varint

from gateway.kafka.inflation import TooLargeError, inflate
from gateway.pipeline.command import CommandRecord

HEADER = struct.Struct(">qiibIhiqqqhii")
AFTER_LENGTH = 12  # bytes of offset and length, which the length does not count
AFTER_CRC = 21
CODEC, LOG_APPEND_TIME, TRANSACTIONAL, CONTROL = 0x07, 0x08, 0x10, 0x20
KEPT = 1024  # bytes of what cannot be read
Aborted = tuple[tuple[int, int], ...]  # producer id and first offset, as the fetch response tells them


class DamagedBatchError(Exception):
    """Raised where a batch's checksum is wrong: damaged on the way, or on the broker's disk."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(f"batch at offset {offset}: {why}")
        self.offset = offset


class RecordBatch(NamedTuple):
    """One batch, still packed; `data` is all of it."""

    base_offset: int
    last_offset: int
    attributes: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    record_count: int
    data: bytes


class Handout(NamedTuple):
    """Records to take in, and the offset after all that they stand for."""

    records: list[CommandRecord]
    next_offset: int


def read_batches(partition: int, start: int, data: bytes, aborted: Aborted = ()) -> Handout:
    """Read all whole batches of a fetch from `start` on; DamagedBatchError where the first cannot be trusted."""
    records: list[CommandRecord] = []
    position = start
    to_come = sorted(aborted, key=lambda transaction: transaction[1])
    aborting: set[int] = set()  # producers; an aborted transaction ends with its marker, and the next one may count
    for batch in _batches(data):
        while to_come and to_come[0][1] <= batch.last_offset:
            aborting.add(to_come.pop(0)[0])
        if batch.attributes & CONTROL:
            aborting.discard(batch.producer_id)
        elif not (batch.attributes & TRANSACTIONAL and batch.producer_id in aborting):
            first = max(start, batch.base_offset)
            records += [one for one in _records(partition, batch) if first <= one.offset <= batch.last_offset]
        position = max(position, batch.last_offset + 1)
    return Handout(records, position)


def unreadable(partition: int, batch: RecordBatch, why: str) -> CommandRecord:
    """One record that stands for a whole batch which cannot be opened."""
    about = ""
    if batch.record_count != 1:
        offsets = f"offsets {batch.base_offset} to {batch.last_offset}"
        about = f"{batch.record_count} records ({offsets}) cannot be read: "
    return _stand_in(partition, batch.base_offset, batch.max_timestamp, batch.data, f"{about}{why}")


def first_batch(data: bytes) -> RecordBatch | None:
    """The first batch of a fetch, whatever its checksum says; None where there is no whole one."""
    if len(data) < HEADER.size:
        return None
    base, length, _, magic, _, attributes, last_delta, first, newest, producer, _, _, count = HEADER.unpack_from(data)
    if magic != 2 or len(data) < AFTER_LENGTH + length:  # noqa: PLR2004 - the format's number
        return None
    whole = data[: AFTER_LENGTH + length]
    return RecordBatch(base, base + last_delta, attributes, first, newest, producer, count, whole)


def _batches(data: bytes) -> Iterator[RecordBatch]:
    at_begin = True
    while (batch := first_batch(data)) is not None:
        if calc_crc32c(batch.data[AFTER_CRC:]) != HEADER.unpack_from(batch.data)[4]:
            if at_begin:
                raise DamagedBatchError(batch.base_offset, "its checksum is wrong")
            return
        yield batch
        data, at_begin = data[len(batch.data) :], False
    if at_begin and data:
        raise DamagedBatchError(-1, "it is cut short, or of an older format")


def _records(partition: int, batch: RecordBatch) -> list[CommandRecord]:
    try:
        payload = inflate(batch.attributes & CODEC, batch.data[HEADER.size :])
    except TooLargeError as error:
        return [unreadable(partition, batch, str(error))]
    except Exception as error:  # noqa: BLE001 - whatever a decompressor raises at damaged bytes
        return [unreadable(partition, batch, f"its bytes do not decompress: {error}")]
    records: list[CommandRecord] = []
    at = 0
    for index in range(batch.record_count):
        try:
            length, begin = decode_varint(payload, at)
            end = begin + length
            if length < 0 or end > len(payload):
                raise ValueError(f"a record of {length} bytes where {len(payload) - begin} are left")  # noqa: TRY301
        except (ValueError, IndexError) as error:
            rest = payload[at:]
            offset = records[-1].offset + 1 if records else batch.base_offset + index
            return [*records, _stand_in(partition, offset, batch.max_timestamp, rest, f"no record: {error}")]
        records.append(_record(partition, batch, payload[begin:end], index))
        at = end
    return records


def _record(partition: int, batch: RecordBatch, body: bytes, index: int) -> CommandRecord:
    offset, timestamp = batch.base_offset + index, batch.max_timestamp
    try:
        delta, at = decode_varint(body, 1)  # after the attributes, which say nothing yet
        if not batch.attributes & LOG_APPEND_TIME:
            timestamp = batch.first_timestamp + delta
        offset_delta, at = decode_varint(body, at)
        offset = batch.base_offset + offset_delta
        key, at = _bytes(body, at)
        value, at = _bytes(body, at)
        count, at = decode_varint(body, at)
        headers: list[tuple[str, bytes | None]] = []
        for _ in range(count):
            name, at = _bytes(body, at)
            content, at = _bytes(body, at)
            headers.append(((name or b"").decode("utf-8", "backslashreplace"), content))
    except (ValueError, IndexError) as error:
        return _stand_in(partition, offset, timestamp, body, f"the record cannot be read: {error}")
    return CommandRecord(partition, offset, timestamp, key, value, headers)


def decode_varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a zigzag varint at a place, and the place after it; IndexError or ValueError where there is none."""
    return _library_varint(cast("bytearray", data), at)


def _bytes(body: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = decode_varint(body, at)
    if length > len(body) - at:
        raise ValueError(f"{length} bytes where {len(body) - at} are left")
    return (None, at) if length < 0 else (body[at : at + length], at + length)


def _stand_in(partition: int, offset: int, timestamp: int, data: bytes, why: str) -> CommandRecord:
    digest = hashlib.sha256(data).hexdigest()
    return CommandRecord(
        partition, offset, timestamp, None, data[:KEPT], (), f"{why} ({len(data)} bytes, SHA-256 {digest})"
    )
