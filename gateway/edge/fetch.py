# pyright: reportMissingTypeStubs=false, reportIncompatibleMethodOverride=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
"""A fetch and its answer as bytes: aiokafka's own request, written and read in one go rather than field by field.

At a few hundred events a second aiokafka's way was half of what reading Kafka cost. Source: FetchRequest.json and
FetchResponse.json of Apache Kafka, version 11 (brokers from 2.3 on); with older ones it is aiokafka's.
"""

import struct
from io import BytesIO
from typing import Any, NamedTuple, Self

from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11, FetchRequestStruct, FetchResponse_v11

_HEADER = struct.Struct(">hhih")  # key, version, correlation id, length of the client's id
_HEAD = struct.Struct(">iiiibii")  # replica, wait, bytes at least and at most, isolation, session and its epoch
_PARTITION = struct.Struct(">iiqqi")  # number, the leader's epoch, offset, the follower's start, bytes at most
_ANSWER = struct.Struct(">ihqqqi")  # number, error, high watermark, end of what is committed, start, aborted ones
_ABORTED = struct.Struct(">qq")  # producer, its first offset
_SHORT = struct.Struct(">h")
_INT = struct.Struct(">i")
_NOBODY = -1
_THROTTLE_ERROR_SESSION = 10  # bytes


class Fetch(FetchRequest):
    """As aiokafka's."""

    def build(self, request_struct_class: type[FetchRequestStruct]) -> FetchRequestStruct:
        """Write version 11 here, and leave others to aiokafka."""
        return (
            _Fetch11(self._write()) if request_struct_class is FetchRequest_v11 else super().build(request_struct_class)
        )

    def _write(self) -> bytes:
        wait, least, most, isolation = self._max_wait_ms, self._min_bytes, self._max_bytes, self._isolation_level
        parts = [_HEAD.pack(_NOBODY, wait, least, most, isolation, 0, -1), _INT.pack(len(self._topics))]
        for topic, partitions in self._topics:
            parts += [_SHORT.pack(len(topic)), topic.encode(), _INT.pack(len(partitions))]
            parts += [_PARTITION.pack(number, -1, offset, -1, most) for number, offset, most in partitions]
        return b"".join([*parts, _INT.pack(0), _SHORT.pack(0)])  # nothing to forget, in no rack


class _Header(NamedTuple):
    correlation_id: int
    data: bytes = b""

    def encode(self) -> bytes:
        return self.data


class _Answer11(FetchResponse_v11):
    topics: list[tuple[str, list[tuple[Any, ...]]]]

    def __init__(self, topics: list[tuple[str, list[tuple[Any, ...]]]]) -> None:  # its own would want every field
        self.topics = topics

    @classmethod
    def decode(cls, data: BytesIO) -> Self:
        return cls(_AnswerReader(data.read(), _THROTTLE_ERROR_SESSION).topics())


class _Fetch11(FetchRequest_v11):
    RESPONSE_TYPE = _Answer11

    def __init__(self, data: bytes) -> None:  # its own would want every field
        self._data = data

    def encode(self) -> bytes:
        return self._data

    def build_request_header(self, correlation_id: int, client_id: str) -> Any:
        name = client_id.encode()
        return _Header(correlation_id, _HEADER.pack(self.API_KEY, self.API_VERSION, correlation_id, len(name)) + name)

    def parse_response_header(self, read_buffer: BytesIO | bytes) -> Any:
        data = read_buffer if isinstance(read_buffer, bytes) else read_buffer.read(4)
        return _Header(_INT.unpack_from(data)[0])


class _AnswerReader:
    """What comes next in an answer, with the same fields as aiokafka's."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def topics(self) -> list[tuple[str, list[tuple[Any, ...]]]]:
        return [(self._bytes(_SHORT).decode(), self._partitions()) for _ in range(self._number())]

    def _partitions(self) -> list[tuple[Any, ...]]:
        return [self._partition() for _ in range(self._number())]

    def _partition(self) -> tuple[Any, ...]:
        *known, count = _ANSWER.unpack_from(self._data, self._at)
        begin = self._at + _ANSWER.size
        self._at = begin + max(count, 0) * _ABORTED.size
        aborted = list(_ABORTED.iter_unpack(self._data[begin : self._at]))
        replica = self._number()
        return *known, aborted, replica, self._bytes(_INT)

    def _number(self) -> int:
        self._at += _INT.size
        return _INT.unpack_from(self._data, self._at - _INT.size)[0]

    def _bytes(self, size: struct.Struct) -> bytes:
        begin = self._at + size.size
        self._at = begin + max(size.unpack_from(self._data, self._at)[0], 0)
        return self._data[begin : self._at]
