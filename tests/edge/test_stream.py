"""The stream over real sockets, by another client library, against a real broker."""

import asyncio
import socket
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest
import websockets

from gateway.edge import tokens as tokens_module
from tests.edge.rig import caller, command, until, write_events

pytestmark = pytest.mark.kafka
PATIENCE = 30


class Stream:
    """One WebSocket, with the frames that came."""

    def __init__(self, socket, kind):
        self.socket = socket
        self.kind = kind
        self.frames = []

    async def send(self, **frame):
        await self.socket.send(
            msgspec.json.encode(frame).decode() if self.kind == "json" else msgspec.msgpack.encode(frame)
        )

    async def next(self, *types):
        """The next frame of one of these types; of any but heartbeats without."""
        while True:
            data = await asyncio.wait_for(self.socket.recv(), PATIENCE)
            decode = msgspec.json.decode if isinstance(data, str) else msgspec.msgpack.decode
            self.frames.append(frame := decode(data))
            if frame["type"] in types or (not types and frame["type"] != "heartbeat"):
                return frame

    async def ended(self):
        """The close frame, after all that came before it."""
        with suppress(websockets.ConnectionClosed):
            while True:
                await self.next()
        return self.socket.protocol.close_rcvd

    async def subscribed(self, name="s", mode="events", **ask):
        await self.send(type="subscribe", id=name, mode=mode, **ask)
        return await self.next("live", "error")


@asynccontextmanager
async def stream_of(edge, name="desk", *, kind="json", **options):
    url = edge.server.url.replace("http", "ws", 1) + "/v1/stream"
    headers = {"Authorization": f"Bearer {name}-token"}
    async with websockets.connect(
        url, additional_headers=headers, subprotocols=[f"leverage.v1.{kind}"], **options
    ) as socket:
        stream = Stream(socket, kind)
        assert (await stream.next())["type"] == "hello"
        yield stream


async def sent(http, *leverages, **fields):
    """Commands that were answered, by their events."""
    asked = [command(leverage, **fields) for leverage in leverages]
    async with http.post("/v1/commands?wait=30", json=asked) as response:
        assert response.status == 200, await response.text()
        return (await response.json())["events"]


async def test_a_snapshot_then_what_comes_and_after_a_cut_what_was_missed(edge, http, echo):
    (before,) = await sent(http, "1")
    async with stream_of(edge) as stream:
        live = await stream.subscribed()
        assert (stream.frames[-2]["lanes"], live["resumed"]) == ([before], False)
        came = await sent(http, "2", "3")
        assert [(await stream.next("event"))["event"] for _ in came] == came
    missed = await sent(http, "4", "5")
    async with stream_of(edge) as stream, stream_of(edge, kind="msgpack") as packed:
        assert (await stream.subscribed(resume=live["position"]))["resumed"] is True
        assert [frame["event"] for frame in stream.frames if frame["type"] == "event"] == came + missed
        assert (await packed.subscribed(mode="state", resume=live["position"]))["resumed"] is True
        assert [frame["event"] for frame in packed.frames if frame["type"] == "state"] == missed[-1:]
    async with http.get("/v1/leverage") as response:
        snapshot = await response.json()
    (last,) = await sent(http, "6")
    async with stream_of(edge) as stream:
        assert (await stream.subscribed(resume=snapshot["position"]))["resumed"] is True
        assert [frame["event"] for frame in stream.frames if frame["type"] == "event"] == [last]
        heartbeat = await stream.next("heartbeat")
        assert heartbeat["lag_ms"] < 60_000
        assert isinstance(heartbeat["position"], str)


async def test_commands_on_a_stream_are_answered_with_their_ref_with_and_without_a_subscription(edge, http, echo):
    async with stream_of(edge) as stream:
        asked = command("20")
        await stream.send(type="command", ref="r1", command=asked)
        assert await stream.next() == {"type": "result", "ref": "r1", "accepted": asked["command_id"]}
        event = await stream.next()
        assert (event["ref"], event["event"]["command_id"]) == ("r1", asked["command_id"])
        assert "id" not in event
        await stream.subscribed()
        for ref in ("r2", "r3"):
            await stream.send(type="command", ref=ref, command=command("21"))
        kinds = sorted([(await stream.next())["type"] for _ in range(4)])
        assert kinds == ["event", "event", "result", "result"]
        assert [frame["ref"] for frame in stream.frames[-4:] if frame["type"] == "event"] == ["r2", "r3"]
        assert {frame.get("id") for frame in stream.frames[-4:]} == {None, "s"}
        await stream.send(type="command", ref="r4", command=command("2.5"))
        refused = await stream.next()
        assert (refused["ref"], refused["error"]["code"]) == ("r4", "invalid")
        await stream.send(type="command", ref="r5", command=asked)  # answered long ago
        assert [(await stream.next())["type"] for _ in range(2)] == ["result", "event"]


async def test_what_is_not_allowed_or_no_frame_is_an_error_and_the_stream_goes_on(edge, http):
    async with stream_of(edge, "one") as stream:
        assert (await stream.subscribed(accounts=["desk-2"]))["code"] == "forbidden"
        for text in ("{", "[]", '{"type":"x"}', '{"type":"subscribe","id":"s"}', '{"type":"unsubscribe","id":"no"}'):
            await stream.socket.send(text)
            assert (await stream.next())["type"] == "error"
        await stream.socket.send(b"\x81")
        assert (await stream.next())["code"] == "malformed"
        assert (await stream.subscribed(acounts=["desk-1"]))["code"] == "malformed"
        assert (await stream.subscribed(accounts=[]))["code"] == "malformed"
        await stream.send(type="command", ref="r", command=command(account="desk-2"))
        assert (await stream.next())["error"]["code"] == "forbidden"
        position = (await stream.subscribed())["position"]
        assert (await stream.subscribed())["code"] == "taken"
        await stream.send(type="unsubscribe", id="s")
        await stream.subscribed()
    async with stream_of(edge, "reader") as stream:
        assert (await stream.subscribed(resume=position))["resumed"] is False  # the rights are wider than those
        await stream.send(type="command", ref="r", command=command())
        assert (await stream.next())["error"]["code"] == "forbidden"


async def test_the_handshake_takes_a_token_of_a_browser_and_refuses_strangers(edge):
    url = edge.server.url.replace("http", "ws", 1) + "/v1/stream"
    offered = ["leverage.v1.json", "bearer.desk-token"]
    async with websockets.connect(url, subprotocols=offered) as stream:
        assert stream.subprotocol == "leverage.v1.json"
    for options, status in (
        ({}, 401),
        ({"subprotocols": ["leverage.v1.json", "bearer.wrong"]}, 401),
        ({"subprotocols": ["bearer.desk-token"]}, 400),
        ({"subprotocols": offered, "origin": "https://evil.example"}, 403),
    ):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url, **options)
        assert refused.value.response.status_code == status
    async with caller(edge.server.url) as plain, plain.get("/v1/stream") as response:
        assert response.status == 426


@pytest.mark.parametrize("edge_settings", [{"max_unread_bytes": 100_000}], indirect=True)
async def test_a_reader_of_every_event_that_is_too_slow_is_closed_with_its_position(edge, kafka_bootstrap, topics):
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
    host, _, port = edge.server.url.removeprefix("http://").rpartition(":")
    narrow.connect((host, int(port)))
    async with stream_of(edge, sock=narrow, max_queue=1, close_timeout=1) as slow, stream_of(edge) as quick:
        for stream in (slow, quick):
            await stream.subscribed()
        slow.socket.transport.pause_reading()
        came = []
        for _ in range(20):
            burst = await write_events(kafka_bootstrap, topics, 100)
            assert [(await quick.next("event"))["event"] for _ in burst] == burst
            came += burst
        slow.socket.transport.resume_reading()
        closed = await slow.ended()
        assert closed.code == 4008
        told = [frame["event"] for frame in slow.frames if frame["type"] == "event"]
        assert len(told) < len(came)
        async with stream_of(edge) as back:
            assert (await back.subscribed(resume=closed.reason))["resumed"] is True
            told += [frame["event"] for frame in back.frames if frame["type"] == "event"]
        assert told == came


async def test_a_stream_ends_when_its_token_does(edge, tmp_path, monkeypatch):
    async with stream_of(edge, "reader") as stream, stream_of(edge, "one"):
        (tmp_path / "reader").write_text("another-token")
        await edge.tokens.look()
        assert (await stream.ended()).code == 4501
        assert len(edge.streams.sessions) == 1
    assert tokens_module.INTERVAL * tokens_module.MISSES < 15


async def test_server_sent_events_are_the_same_frames_and_resume(edge, http, echo):
    async def events(response, most):
        found = []
        while len(found) < most:
            text = (await asyncio.wait_for(response.content.readuntil(b"\n\n"), PATIENCE)).decode()
            event = dict(line.split(": ", 1) for line in text.splitlines() if line)
            frame = msgspec.json.decode(event["data"])
            assert (event["event"], event.get("id")) == (frame["type"], frame.get("position"))
            found += [frame] if frame["type"] != "heartbeat" else []
        return found

    (before,) = await sent(http, "1")
    async with http.get("/v1/events?account=desk-1&venue=binance_usdm") as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        hello, snapshot, live = await events(response, 3)
        assert [hello["type"], snapshot["lanes"], live["resumed"]] == ["hello", [before], False]
    missed = await sent(http, "2", "3")
    async with http.get("/v1/events", headers={"Last-Event-ID": live["position"]}) as response:
        frames = await events(response, 4)
        assert [frame["event"] for frame in frames[1:3]] == missed
        assert (frames[3]["type"], frames[3]["resumed"]) == ("live", True)
    for query, status in (("?acount=x", 400), ("?mode=all", 400), ("?mode=state&mode=events", 400)):
        async with http.get(f"/v1/events{query}") as response:
            assert response.status == status
    async with caller(edge.server.url, "one") as one, one.get("/v1/events?account=desk-2") as response:
        assert response.status == 403
    await until(lambda: not edge.streams.sessions)
