"""Record batches of magic 2 made byte by byte, as no client library would make them."""

import gzip
import struct

import cramjam
from aiokafka.codec import lz4_encode
from aiokafka.record.util import calc_crc32c, encode_varint

CONTROL, TRANSACTIONAL = 0x20, 0x10
ABORT, COMMIT = 0, 1


def varint(number):
    out = bytearray()
    encode_varint(number, out.append)
    return bytes(out)


def sized(data):
    return varint(-1) if data is None else varint(len(data)) + data


def record(index, key=b"k", value=b"v", headers=(), *, length=None):
    body = b"\0" + varint(index) + varint(index) + sized(key) + sized(value) + varint(len(headers))
    body += b"".join(sized(name) + sized(content) for name, content in headers)
    return varint(len(body) if length is None else length) + body


def marker(kind):
    """The one record of a control batch: how its producer's transaction ended."""
    return record(0, struct.pack(">hh", 0, kind), struct.pack(">hi", 0, 0))


def batch(*records, base=0, codec=0, attributes=0, pack=None, count=None, producer=-1, first=1000, crc=None):
    """A record batch of magic 2, byte by byte."""
    payload = b"".join(records)
    payload = pack(payload) if pack else payload
    count = len(records) if count is None else count
    head = struct.pack(
        ">hiqqqhii", attributes | codec, max(0, count - 1), first, first + count, producer, -1, -1, count
    )
    body = head + payload
    checksum = calc_crc32c(body) if crc is None else crc
    return struct.pack(">qiibI", base, 9 + len(body), -1, 2, checksum) + body


PACKERS = {
    0: None,
    1: gzip.compress,
    2: lambda data: bytes(cramjam.snappy.compress_raw(data)),
    3: lz4_encode,
    4: lambda data: bytes(cramjam.zstd.compress(data)),
}
