"""Records of a transaction in batches: whole, in order, and each in one of its own topic."""

from itertools import chain

from aiokafka.producer.message_accumulator import BatchBuilder

from gateway.kafka.batches import read_batches
from gateway.kafka.packing import pack
from gateway.ownership.ports import OutRecord


def create_batch():
    return BatchBuilder(400, 0, is_transactional=1)


def values_of(builder):
    return [record.value for record in read_batches(0, 0, bytes(builder._build())).records]


def event(number, size=50):
    return OutRecord("events", b"k", b"%d" % number + b"x" * size, ())


def test_records_of_a_topic_keep_their_order_over_as_many_batches_as_they_fill():
    batches = pack(create_batch, [event(number) for number in range(20)])
    assert len(batches) > 1
    assert list(chain.from_iterable(values_of(batch.builder) for batch in batches)) == [
        event(number).value for number in range(20)
    ]


def test_each_topic_has_batches_of_its_own():
    records = [event(1), OutRecord("state", b"s", None, ()), event(2)]
    batches = pack(create_batch, records)
    assert [(batch.topic, values_of(batch.builder)) for batch in batches] == [
        ("events", [event(1).value, event(2).value]),
        ("state", [None]),
    ]


def test_a_record_larger_than_a_batch_is_one():
    batches = pack(create_batch, [event(1), event(2, 900), event(3)])
    assert [batch.sent(10).last for batch in batches] == [10, 10, 10]
