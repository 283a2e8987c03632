"""Whoever can connect cannot take the edge away: wrong frames, slow heads, giants, floods of tokens; others go on."""

import asyncio
import io
import os
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest

from gateway.edge import server as server_module
from tests.edge.rig import caller, command, edge_of, settings_of
from tests.edge.test_stream import stream_of

pytestmark = pytest.mark.kafka
PATIENCE = 30
HANDSHAKE = (
    "GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer desk-token\r\n\r\n"
)


def address_of(edge):
    host, _, port = edge.server.url.removeprefix("http://").rpartition(":")
    return host, int(port)


@asynccontextmanager
async def raw(edge, head=""):
    reader, writer = await asyncio.open_connection(*address_of(edge))
    writer.write(head.encode("latin-1"))
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def frame(payload=b"", *, opcode=1, fin=True, rsv=0, masked=True, length=None):
    """A frame as a client may write it, right or wrong."""
    size = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if masked else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 1 << 16:
        head += bytes([bit | 126]) + size.to_bytes(2)
    else:
        head += bytes([bit | 127]) + size.to_bytes(8)
    key = os.urandom(4)
    return head + (key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload)) if masked else payload)


ASK = b'{"type":"subscribe","id":"s","mode":"state"}'
FAILING = [  # bytes after the handshake, and the close code they end in
    ("not masked", frame(ASK, masked=False), 1002),
    ("not masked, after a right one", frame(ASK) + frame(b"", opcode=9, masked=False), 1002),
    ("not masked, control", frame(b"", opcode=9, masked=False), 1002),
    *((f"reserved bit {rsv}", frame(ASK, rsv=rsv), 1002) for rsv in (1, 2, 4)),
    *((f"reserved opcode {code}", frame(b"", opcode=code), 1002) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    ("control frame of 126 bytes", frame(b"x" * 126, opcode=9), 1002),
    ("control frame in pieces", frame(b"x", opcode=9, fin=False), 1002),
    ("continuation of nothing", frame(b"x", opcode=0), 1002),
    ("continuation of nothing, not the last", frame(b"x", opcode=0, fin=False), 1002),
    ("a text within a text", frame(b"x", fin=False) + frame(b"y"), 1002),
    ("invalid UTF-8", frame(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80"), 1007),
    ("invalid UTF-8 in pieces", frame(b"\xce", fin=False) + frame(b"\xff", opcode=0), 1007),
    ("half a character", frame(b"\xf0\x9f"), 1007),
    ("too large", frame(b"x" * 70_000), 1009),
    ("too large, as its head says", frame(b"", length=1 << 40), 1009),
    ("too large in pieces", frame(b"x" * 40_000, fin=False) + frame(b"x" * 40_000, opcode=0), 1009),
    *(
        (f"close with code {code}", frame(code.to_bytes(2), opcode=8), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1016, 2999)
    ),
    ("close with one byte", frame(b"\x03", opcode=8), 1002),
    ("close with a reason that is no text", frame(b"\x03\xe8\xff\xff", opcode=8), 1007),
    *(
        (f"close with code {code}", frame(code.to_bytes(2), opcode=8), None)
        for code in (1000, 1001, 1002, 1003, 1007, 3000, 4999)
    ),
    ("close without a code", frame(b"", opcode=8), None),
]
PASSING = [
    frame(ASK),
    frame(ASK[:7], fin=False)
    + frame(ASK[7:20], opcode=0, fin=False)
    + frame(b"", opcode=9)
    + frame(ASK[20:], opcode=0),
    frame(b"", fin=False) + frame(ASK, opcode=0),
    frame(b"x" * 125, opcode=9) + frame(ASK),
    frame(b"", opcode=10) + frame(b"nobody asked", opcode=10) + frame(ASK),
    b"".join(frame(bytes([byte]), opcode=0 if at else 1, fin=at == len(ASK) - 1) for at, byte in enumerate(ASK)),
]


async def server_frames(reader):
    """Opcode and payload of each frame to the end of the connection."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            first, second = await reader.readexactly(2)
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8))
            yield first & 0xF, await reader.readexactly(size)


async def close_code(edge, data):
    async with asyncio.timeout(PATIENCE), raw(edge, HANDSHAKE) as (reader, writer):
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        async for opcode, payload in server_frames(reader):
            if opcode == 8:
                return int.from_bytes(payload[:2]) if payload else None
    return "no close frame"


async def test_frames_against_the_protocol_fail_their_connection_and_no_other(edge):
    async with stream_of(edge) as other:
        await other.subscribed()
        for what, data, code in FAILING:
            closed = await close_code(edge, data)
            assert closed == code or (code is None and closed in {1000, *range(1001, 5000)}), (what, closed)
        for data in PASSING:
            async with asyncio.timeout(PATIENCE), raw(edge, HANDSHAKE) as (reader, writer):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(data)
                async for opcode, payload in server_frames(reader):
                    if opcode == 1 and msgspec.json.decode(payload)["type"] == "live":
                        break
                else:
                    raise AssertionError(data)
        assert (await other.next("heartbeat"))["position"]


async def test_frames_that_came_with_the_handshake_are_looked_at_too(edge):
    async with (
        asyncio.timeout(PATIENCE),
        raw(edge, HANDSHAKE + frame(ASK, masked=False).decode("latin-1")) as (reader, _),
    ):
        await reader.readuntil(b"\r\n\r\n")
        codes = [int.from_bytes(payload[:2]) async for opcode, payload in server_frames(reader) if opcode == 8]
    assert codes[:1] == [1002]


async def test_heads_that_are_slow_giant_or_none_end_and_floods_of_tokens_hurt_nobody(edge, http):
    async def answer(head):
        async with asyncio.timeout(PATIENCE), raw(edge, head) as (reader, _):
            return await reader.read(200)

    bearer = "Authorization: Bearer desk-token\r\n"
    giant = await answer(f"GET /v1/leverage HTTP/1.1\r\nHost: x\r\n{bearer}X: {'x' * 100_000}\r\n\r\n")
    assert giant.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    for path in ("/v1/../v1/leverage", "//v1/leverage", "/v1/leverage/", "/v1/%6ceverage%00", "/v1/leverage;x=1"):
        assert (await answer(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{bearer}\r\n"))[9:12] in {
            b"404",
            b"400",
        }
    split = await answer(
        f"GET /v1/leverage?account=a%0d%0aSet-Cookie:x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{bearer}\r\n"
    )
    assert b"Set-Cookie:x\r\n" not in split
    flood = [caller(edge.server.url, f"wrong-{number}") for number in range(3)]
    for session in flood:
        answers = await asyncio.gather(*(session.get("/v1/leverage") for _ in range(100)))
        assert {response.status for response in answers} == {401}
        await session.close()
    giant = io.BytesIO(b"x" * 1_100_000)
    async with http.post("/v1/commands", data=giant, headers={"Content-Type": "application/json"}) as response:
        assert response.status == 413
    async with http.post("/v1/commands", json=command(), headers={"Content-Type": "text/plain"}) as response:
        assert response.status == 415
    async with http.get("/v1/leverage") as response:
        assert response.status == 200


@pytest.mark.parametrize("edge_settings", [{"max_rate_per_token": 5, "max_streams_per_token": 2}], indirect=True)
async def test_a_token_is_bound_in_its_rate_and_its_streams(edge):
    async with caller(edge.server.url, "reader") as session:
        answers = [await session.get("/v1/leverage") for _ in range(40)]
        statuses = [response.status for response in answers]
        assert {200, 429} == set(statuses)
        assert int(answers[-1].headers["Retry-After"]) >= 1
    async with (
        stream_of(edge, "one"),
        stream_of(edge, "one"),
        caller(edge.server.url, "one") as session,
        session.get("/v1/events") as response,
    ):
        assert response.status == 429


async def test_a_request_that_is_never_finished_is_ended(kafka_bootstrap, topics, tmp_path, monkeypatch):
    assert server_module.REQUEST_LASTS <= 60
    monkeypatch.setattr(server_module, "REQUEST_LASTS", 0.3)
    async with edge_of(settings_of(kafka_bootstrap, topics, tmp_path), tmp_path) as edge:
        for head in ("", "GET /v1/leverage HTTP/1.1\r\nHost: x\r\n", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /li"):
            async with asyncio.timeout(PATIENCE), raw(edge, head) as (reader, _):
                await reader.read()  # to its end
