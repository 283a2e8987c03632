"""Whatever a broker can hold in a batch becomes records to answer, and nothing of it raises or grows without end."""

import gzip
import random
import struct
from importlib import import_module

import cramjam
import pytest
from aiokafka.record import default_records
from aiokafka.record.util import calc_crc32c

from gateway.kafka import inflation
from gateway.kafka.batches import HEADER, DamagedBatchError, read_batches
from gateway.kafka.fetch import CommandReader
from gateway.kafka.inflation import MOST_BYTES, TooLargeError, bound_inflation
from tests.kafka.batch_bytes import ABORT, COMMIT, CONTROL, PACKERS, TRANSACTIONAL, batch, marker, record, varint


@pytest.mark.parametrize("codec", PACKERS)
def test_every_compression_is_read(codec):
    data = batch(record(0, b"a", b"1", [(b"h", b"x")]), record(1, None, None), base=7, codec=codec, pack=PACKERS[codec])
    one, two = read_batches(3, 0, data).records
    assert (one.partition, one.offset, one.key, one.value, one.headers) == (3, 7, b"a", b"1", [("h", b"x")])
    assert (two.offset, two.key, two.value, two.timestamp_ms) == (8, None, None, 1001)


def test_the_java_clients_snappy_blocks_are_read():
    def blocks(data):
        parts = [bytes(cramjam.snappy.compress_raw(data[at : at + 5])) for at in range(0, len(data), 5)]
        return b"\x82SNAPPY\0" + b"\0\0\0\1\0\0\0\1" + b"".join(struct.pack(">i", len(part)) + part for part in parts)

    (found,) = read_batches(0, 0, batch(record(0, value=b"hello world"), codec=2, pack=blocks)).records
    assert found.value == b"hello world"


def test_a_header_name_that_is_not_utf8_is_told_in_ascii_and_its_record_is_read():
    (found,) = read_batches(0, 0, batch(record(0, headers=[(b"\xff\xef", b"x")]))).records
    assert (found.value, found.headers, found.unreadable) == (b"v", [("\\xff\\xef", b"x")], None)


def test_a_record_that_cannot_be_read_stands_for_itself_alone():
    broken = varint(4) + b"\0\x02\x02\x7f"
    one, two, three = read_batches(0, 0, batch(record(0), broken, record(2))).records
    assert (one.unreadable, three.unreadable) == (None, None)
    assert two.offset == 1
    assert "SHA-256" in (two.unreadable or "")
    assert two.value == broken[1:]


def test_what_comes_after_a_wrong_length_is_one_record_that_cannot_be_read():
    one, rest = read_batches(0, 0, batch(record(0), record(1, length=5000), record(2), base=40)).records
    assert (one.offset, one.unreadable) == (40, None)
    assert rest.offset == 41
    assert "5000 bytes" in (rest.unreadable or "")


@pytest.mark.parametrize("codec", [1, 2, 3, 4])
def test_a_batch_that_unpacks_to_more_than_is_read_is_told_by_size_hash_and_first_kilobyte(codec):
    data = batch(record(0, value=b"x" * (MOST_BYTES + 1)), codec=codec, pack=PACKERS[codec])
    (found,) = read_batches(0, 0, data).records
    assert f"more than {MOST_BYTES} bytes" in (found.unreadable or "")
    assert f"({len(data)} bytes, SHA-256 " in (found.unreadable or "")
    assert len(found.value) <= 1024


def test_a_batch_of_many_records_that_does_not_unpack_says_once_how_many_and_why():
    data = batch(record(0), record(1), record(2), base=40, codec=1)
    (found,) = read_batches(0, 0, data).records
    said = found.unreadable or ""
    assert said.startswith("3 records (offsets 40 to 42) cannot be read: its bytes do not decompress: ")
    assert said.count("do not decompress") == 1


def test_a_wrong_checksum_is_damage_and_no_record():
    good = batch(record(0))
    with pytest.raises(DamagedBatchError, match="checksum"):
        read_batches(0, 0, batch(record(0), crc=1))
    handout = read_batches(0, 0, good + batch(record(0), base=1, crc=1))
    assert ([found.offset for found in handout.records], handout.next_offset) == ([0], 1)


def test_what_comes_before_the_position_and_what_is_control_or_aborted_is_left_out():
    data = (
        batch(record(0), record(1), base=0)
        + batch(record(0), base=2, attributes=CONTROL | TRANSACTIONAL, producer=5)
        + batch(record(0), base=3, attributes=TRANSACTIONAL, producer=5)
        + batch(record(0), base=4, attributes=TRANSACTIONAL, producer=6)
    )
    handout = read_batches(0, 1, data, ((5, 3),))
    assert [found.offset for found in handout.records] == [1, 4]
    assert handout.next_offset == 5


def test_what_a_producer_commits_after_it_aborted_is_read():
    data = (
        batch(record(0), base=0, attributes=TRANSACTIONAL, producer=5)
        + batch(marker(ABORT), base=1, attributes=CONTROL | TRANSACTIONAL, producer=5)
        + batch(record(0), base=2, attributes=TRANSACTIONAL, producer=5)
        + batch(marker(COMMIT), base=3, attributes=CONTROL | TRANSACTIONAL, producer=5)
    )
    handout = read_batches(0, 0, data, ((5, 0),))
    assert [found.offset for found in handout.records] == [2]
    assert handout.next_offset == 4


def test_what_a_producer_commits_before_it_aborts_is_read():
    data = (
        batch(record(0), base=0, attributes=TRANSACTIONAL, producer=5)
        + batch(marker(COMMIT), base=1, attributes=CONTROL | TRANSACTIONAL, producer=5)
        + batch(record(0), base=2, attributes=TRANSACTIONAL, producer=5)
        + batch(marker(ABORT), base=3, attributes=CONTROL | TRANSACTIONAL, producer=5)
    )
    assert [found.offset for found in read_batches(0, 0, data, ((5, 2),)).records] == [0]


@pytest.fixture
def library(monkeypatch):
    """The client library, which gets its own decompression back in the end."""
    for module in map(import_module, inflation._LIBRARY):
        for codec in ("gzip_decode", "snappy_decode", "lz4_decode", "zstd_decode"):
            monkeypatch.setattr(module, codec, getattr(module, codec))


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    "bound", [bound_inflation, lambda: CommandReader(None, None, patience=1.0, clock=None, observer=None)]
)
def test_the_client_library_decompresses_with_the_bound_too(monkeypatch, bound):
    monkeypatch.setattr(default_records, "gzip_decode", gzip.decompress)
    bound()
    data = batch(record(0, value=b"x" * (MOST_BYTES + 1)), codec=1, pack=gzip.compress)
    with pytest.raises(TooLargeError):
        list(default_records.DefaultRecordBatch(data))


def test_a_library_that_moved_its_decompression_is_told_and_not_passed_over(monkeypatch):
    monkeypatch.setattr(inflation, "_LIBRARY", ("json",))
    with pytest.raises(AttributeError, match="gzip_decode"):
        bound_inflation()


@pytest.mark.parametrize("seed", range(10))
def test_ten_thousand_batches_of_any_shape_become_records_of_bounded_size(seed):
    rng = random.Random(seed)
    for _ in range(1000):
        count = rng.randint(0, 4)
        records = [hostile(rng, index) for index in range(count)]
        codec = rng.choice([0, 0, 1, 2, 3, 4, 5, 7])
        data = batch(
            *records,
            base=rng.choice([0, 9, 2**62]),
            codec=codec,
            pack=PACKERS.get(codec),
            attributes=rng.choice([0, 0, 8, TRANSACTIONAL, CONTROL]),
            count=rng.choice([count, count, count + 1, 2**31 - 1]),
            first=rng.choice([-1, 0, 10**12, 2**62]),
        )
        if rng.random() < 0.3:
            data = bytearray(data)
            data[rng.randrange(HEADER.size, len(data) + 1) - 1] ^= 1 << rng.randrange(8)
            data = struct.pack(">qiibI", *HEADER.unpack_from(data)[:4], calc_crc32c(data[21:])) + bytes(data[21:])
        good = batch(record(0, value=b"good"), base=2**62 + 2**33)
        handout = read_batches(0, 0, data + good)
        assert handout.records[-1].value == b"good"
        assert all(len(found.value or b"") <= 70_000 for found in handout.records)


def hostile(rng, index):
    text = rng.choice([None, b"", b"\xff\xfe", b"k" * 300, b"x" * 60_000])
    headers = [(rng.choice([b"", b"\xc3", b"h" * 200, b"traceparent"]), text) for _ in range(rng.choice([0, 1, 30]))]
    if rng.random() < 0.2:
        return varint(rng.choice([0, -1, 3, 2**40])) + rng.randbytes(rng.randint(0, 20))
    return record(index, rng.choice([None, b"", b"k"]), text, headers[: rng.choice([0, 1, 30])])
