"""Decompression that ends: a few bytes of a batch may stand for gigabytes, and a broker looks at the few only.

The client library opens batches without a bound; `bound_inflation` puts ours in its place.
"""

import zlib
from importlib import import_module
from typing import Any

import cramjam

MOST_BYTES = 32 * 1024 * 1024  # of one batch; a broker takes one compressed megabyte by default
XERIAL = b"\x82SNAPPY\x00"  # the framing that the Java client puts around snappy
XERIAL_HEADER = 16
FULL = "whole buffer"  # in the codec's text where the buffer is too small
_LIBRARY = ("aiokafka.record.default_records", "aiokafka.record._crecords.default_records")


class TooLargeError(ValueError):
    """Raised where a batch stands for more bytes than are read here."""

    def __init__(self) -> None:
        super().__init__(f"it unpacks to more than {MOST_BYTES} bytes")


def inflate(codec: int, data: bytes) -> bytes:
    """Decompress one batch's records; TooLargeError, or whatever the codec raises at damaged bytes."""
    match codec:
        case 0:
            return data
        case 1:
            return gzip_decode(data)
        case 2:
            return snappy_decode(data)
        case 3:
            return lz4_decode(data)
        case 4:
            return zstd_decode(data)
        case _:
            raise ValueError(f"no compression has the number {codec}")


def bound_inflation() -> None:
    """Let the client library decompress with the bound too; AttributeError where it has moved what this replaces."""
    for name in _LIBRARY:
        try:
            module: Any = import_module(name)
        except ImportError:
            continue  # without its compiled half
        for ours in (gzip_decode, snappy_decode, lz4_decode, zstd_decode):
            getattr(module, ours.__name__)
            setattr(module, ours.__name__, ours)


def gzip_decode(data: bytes) -> bytes:
    """Decompress gzip."""
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    found = stream.decompress(data, MOST_BYTES + 1)
    if len(found) > MOST_BYTES:
        raise TooLargeError
    if not stream.eof:
        raise ValueError("gzip that is cut short")
    return found


def snappy_decode(data: bytes) -> bytes:
    """Decompress snappy, bare or in the Java client's blocks."""
    data = bytes(data)
    if not data.startswith(XERIAL):
        return _snappy_block(data, MOST_BYTES)
    at, found = XERIAL_HEADER, bytearray()
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found += _snappy_block(data[at + 4 : at + 4 + length], MOST_BYTES - len(found))
        at += 4 + length
    return bytes(found)


def lz4_decode(data: bytes) -> bytes:
    """Decompress an LZ4 frame."""
    return _into_bound(cramjam.lz4, data)


def zstd_decode(data: bytes) -> bytes:
    """Decompress a Zstandard frame."""
    return _into_bound(cramjam.zstd, data)


def _snappy_block(block: bytes, room: int) -> bytes:
    if cramjam.snappy.decompress_raw_len(block) > room:
        raise TooLargeError
    return bytes(cramjam.snappy.decompress_raw(block))


def _into_bound(codec: Any, data: bytes) -> bytes:
    """Decompress into a buffer of a usual batch's size, and into the largest only where that is not enough."""
    for room in (min(MOST_BYTES, max(65_536, 32 * len(data))), MOST_BYTES):
        buffer = bytearray(room)
        try:
            return bytes(memoryview(buffer)[: codec.decompress_into(bytes(data), buffer)])
        except cramjam.DecompressionError as error:
            if FULL not in str(error):
                raise
    raise TooLargeError
