"""Nothing that a network or a server can do escapes `VenueSession.send`, and nothing is sent twice."""

import asyncio
import gzip
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway.outcomes import Ambiguous, Unavailable
from gateway.transport.messages import LARGEST_ANSWER_BYTES, WITHDRAWN, HttpReply, HttpRequest
from gateway.transport.session import VenueSession
from tests.transport.requests import GET, POST, SECRETS, SIGNED
from tests.transport.servers import answering, babbling, http, never_ending, resetting, serving, silent, tunnelling

# Real sockets: before a byte could be sent.


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_a_refused_connection_is_unavailable(session_to):
    async with session_to(f"http://127.0.0.1:{free_port()}") as session:
        assert type(await session.send(POST)) is Unavailable


async def test_calls_go_through_a_proxy_that_sees_nothing_but_where_to(session_to, tls):
    async with (
        serving(answering(http(), http()), tls) as venue,
        serving(tunnelling(venue)) as proxy,
        session_to(f"https://127.0.0.1:{venue.port}", proxy=proxy.url) as session,
    ):
        for request in (POST, GET):
            assert type(await session.send(request)) is HttpReply
    assert [request.split(b" ")[0] for request in venue.requests] == [b"POST", b"GET"]
    [asked] = proxy.requests
    assert asked.startswith(f"CONNECT 127.0.0.1:{venue.port} HTTP/1.1\r\n".encode())
    assert not any(secret.encode() in asked for secret in SECRETS)
    assert b"127.0.0.1" in venue.requests[0].split(b"Host: ")[1]


@pytest.mark.parametrize("answer", [http(407, b""), http(403), http(502), b""])
async def test_a_proxy_that_makes_no_tunnel_is_unavailable_or_doubt_and_nothing_is_sent(session_to, tls, answer):
    async with (
        serving(answering(http()), tls) as venue,
        serving(answering(answer)) as proxy,
        session_to(f"https://127.0.0.1:{venue.port}", proxy=proxy.url) as session,
    ):
        outcome = await session.send(POST)
    assert type(outcome) is (Unavailable if answer else Ambiguous)
    assert not any(secret in str(outcome) for secret in SECRETS)
    assert venue.requests == []


async def test_a_proxy_that_is_not_there_is_unavailable(session_to):
    async with session_to("https://127.0.0.1:1", proxy=f"http://127.0.0.1:{free_port()}") as session:
        assert type(await session.send(POST)) is Unavailable


async def test_a_name_that_nobody_knows_is_unavailable(session_to):
    async with session_to("http://venue.invalid") as session:
        assert type(await session.send(POST)) is Unavailable


async def test_a_failed_tls_handshake_is_unavailable(session_to):
    async with serving(babbling) as server, session_to(server.url.replace("http:", "https:")) as session:
        assert type(await session.send(POST)) is Unavailable


async def test_a_tls_handshake_that_never_ends_is_unavailable_and_not_ambiguous(session_to):
    async with serving(silent) as server, session_to(server.url.replace("http:", "https:"), 0.2) as session:
        assert type(await session.send(POST)) is Unavailable


async def test_a_connection_that_is_not_there_in_the_time_it_may_take_is_given_up_and_nothing_sent(session_to):
    late = structs.replace(POST, connect_within=0.05)
    async with serving(silent) as server, session_to(server.url.replace("http:", "https:"), 1e6) as session:
        assert type(await session.send(late)) is Unavailable
        assert server.requests == []


# Real sockets: after that.


async def test_a_black_hole_is_ambiguous_when_its_time_is_over(session_to):
    async with serving(silent) as server, session_to(server.url, 0.2) as session:
        outcome = await session.send(POST)
        assert outcome == Ambiguous(message="no answer within 0.2 s")
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnothex\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/9.9 nine\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 10_000 + b"\r\n",
        b"\x16\x03\x01\x00\x05",
    ],
    ids=range(12),
)
async def test_an_answer_cut_short_or_broken_is_ambiguous(session_to, answer):
    async with serving(answering(answer)) as server, session_to(server.url) as session:
        assert type(await session.send(POST)) is Ambiguous
        assert len(server.requests) == 1


async def test_a_reset_after_sending_is_ambiguous(session_to):
    async with serving(resetting()) as server, session_to(server.url) as session:
        assert type(await session.send(POST)) is Ambiguous
        assert len(server.requests) == 1


@pytest.mark.parametrize("request_", [POST, GET], ids=["post", "get"])
async def test_a_kept_connection_that_breaks_is_not_tried_again_unseen(session_to, request_):
    async with serving(resetting(http())) as server, session_to(server.url) as session:
        assert type(await session.send(request_)) is HttpReply
        assert type(await session.send(request_)) is Ambiguous
        assert (len(server.requests), server.connections) == (2, 1)


async def test_a_kept_connection_that_the_server_closed_is_not_used(session_to):
    async with serving(answering(http())) as server, session_to(server.url) as session:
        for _ in range(3):
            assert type(await session.send(POST)) is HttpReply
            await asyncio.sleep(0.01)  # the closing arrives
        assert server.connections == 3


async def test_connections_are_kept_warm(session_to):
    async with serving(answering(*[http()] * 20)) as server, session_to(server.url) as session:
        for _ in range(20):
            assert type(await session.send(POST)) is HttpReply
        assert server.connections == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(session_to, status):
    async with serving(answering(http(status, Location="/elsewhere"), http())) as server:
        async with session_to(server.url) as session:
            answer = await session.send(POST)
        assert isinstance(answer, HttpReply)
        assert (answer.status, len(server.requests)) == (status, 1)


@pytest.mark.parametrize("framing", [b"Content-Length: 99999999999", b"Connection: close"])
async def test_a_flood_ends_at_the_bound(session_to, framing):
    flood = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + b"x" * (4 * LARGEST_ANSWER_BYTES)
    async with serving(answering(flood)) as server, session_to(server.url) as session:
        assert type(await session.send(POST)) is Ambiguous


@pytest.mark.parametrize("status", [418, 429])
async def test_a_limit_stays_one_whatever_its_body_is(session_to, status):
    head = f"HTTP/1.1 {status} Told\r\nRetry-After: 7\r\nContent-Length: 100\r\n\r\n".encode()
    async with serving(answering(head + b"cut")) as server, session_to(server.url) as session:
        answer = await session.send(POST)
    assert isinstance(answer, HttpReply)
    assert (answer.status, answer.headers["retry-after"], answer.body) == (status, "7", b"cut")


@pytest.mark.parametrize("status", [418, 429])
@pytest.mark.parametrize("begin", [b"", b'{"code":-1003}'], ids=["no body", "a body that ends in nothing"])
async def test_a_limit_whose_body_never_ends_is_one_all_the_same(session_to, status, begin):
    head = f"HTTP/1.1 {status} Told\r\nRetry-After: 30\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = f"{len(begin):x}\r\n".encode() + begin + b"\r\n" if begin else b""
    async with serving(never_ending(head + chunk)) as server, session_to(server.url, 0.2) as session:
        answer = await session.send(POST)
    assert isinstance(answer, HttpReply)
    assert (answer.status, answer.headers["retry-after"], answer.body) == (status, "30", begin)


async def test_another_answer_whose_body_never_ends_is_ambiguous(session_to):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
    async with serving(never_ending(head)) as server, session_to(server.url, 0.2) as session:
        assert type(await session.send(POST)) is Ambiguous


async def test_a_compressed_bomb_is_not_unpacked(session_to):
    bomb = gzip.compress(b"\0" * 50_000_000)
    packed = answering(http(200, bomb, Content_Encoding="gzip"))
    async with serving(packed) as server, session_to(server.url) as session:
        answer = await session.send(POST)
    assert isinstance(answer, HttpReply)
    assert len(answer.body) <= LARGEST_ANSWER_BYTES


# What goes out and comes in.


async def test_what_was_signed_goes_out_byte_for_byte_with_no_header_but_ours(session_to):
    body = b'{"symbol":"BTCUSDT","leverage":5}'
    headers = {"X-MBX-APIKEY": "key", "Content-Type": "application/json"}
    async with serving(answering(http(), http())) as server, session_to(server.url) as session:
        await session.send(POST)
        await session.send(HttpRequest(method="POST", target=SIGNED, headers=headers, body=body))
    for sent in server.requests:
        assert sent.startswith(f"POST {SIGNED} HTTP/1.1\r\n".encode())
    bare, full = (_headers(sent) for sent in server.requests)
    always = {"host", "user-agent", "accept", "content-length", "x-mbx-apikey"}
    assert bare.keys() == always
    assert bare["content-length"] == "0"
    assert full.keys() == always | {"content-type"}
    assert server.requests[1].endswith(b"\r\n\r\n" + body)


async def test_a_base_url_may_have_a_path(session_to):
    async with serving(answering(http())) as server, session_to(server.url + "/okx/") as session:
        await session.send(GET)
    assert server.requests[0].startswith(f"GET /okx{SIGNED} HTTP/1.1".encode())


async def test_cookies_and_the_environments_proxy_are_not_used(session_to, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serving(answering(http(Set_Cookie="a=b; Path=/"), http())) as server, session_to(server.url) as session:
        await session.send(POST)
        await session.send(POST)
    assert "cookie" not in _headers(server.requests[1])


async def test_headers_of_an_answer_are_found_in_any_case(session_to):
    async with serving(answering(http(X_Mbx_Used_Weight_1M="12"))) as server, session_to(server.url) as session:
        answer = await session.send(POST)
    assert isinstance(answer, HttpReply)
    assert answer.headers["x-mbx-used-weight-1m"] == answer.headers["X-MBX-USED-WEIGHT-1M"] == "12"


@given(garbage=st.binary(max_size=200) | st.binary(max_size=100).map(lambda some: b"HTTP/1.1 200 OK\r\n" + some))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_a_server_says_is_an_answer_or_an_outcome(session_to, garbage):
    async def ask():
        async with serving(answering(garbage)) as server, session_to(server.url) as session:
            return await session.send(POST)

    assert type(asyncio.run(ask())) in {HttpReply, Ambiguous}


async def test_a_session_that_was_not_started_is_a_bug():
    with pytest.raises(RuntimeError):
        await VenueSession("http://127.0.0.1:1", call_timeout=1).send(POST)


def _headers(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


async def test_a_call_that_may_not_be_sent_any_more_when_it_is_connected_is_not_sent(session_to):
    asked = []
    async with serving(answering(http(), http())) as server, session_to(server.url) as session:
        withdrawn = await session.send(structs.replace(POST, may_send=lambda: bool(asked.append("no"))))
        assert withdrawn is WITHDRAWN
        assert asked == ["no"]
        assert server.requests == []
        sent = await session.send(structs.replace(POST, may_send=lambda: True))
        assert isinstance(sent, HttpReply)
        assert isinstance(await session.send(POST), HttpReply)


async def test_what_a_server_says_unasked_is_never_the_answer_to_the_next_call(session_to):
    async with (
        serving(answering(http(200, b"first") + http(200, b"stale"))) as server,
        session_to(server.url) as session,
    ):
        for _ in range(3):
            answer = await session.send(POST)
            assert isinstance(answer, HttpReply)
            assert answer.body == b"first"


async def test_a_connection_on_which_something_came_while_it_was_idle_is_not_used(session_to):
    is_idle = asyncio.Event()

    def pushing(server):
        async def deed(reader, writer):
            await server.read(reader)
            writer.write(http(200, b"asked for"))
            await is_idle.wait()
            writer.write(http(200, b"stale"))
            await server.read(reader)
            writer.write(http(200, b"asked for"))

        return deed

    async with serving(pushing) as server, session_to(server.url) as session:
        await session.send(POST)
        is_idle.set()
        await asyncio.sleep(0.01)  # what nobody asked for arrives
        answer = await session.send(POST)
    assert isinstance(answer, HttpReply)
    assert (answer.body, server.connections) == (b"asked for", 2)


async def test_a_late_answer_to_a_call_that_was_given_up_is_not_the_next_calls(session_to):
    def late(server):
        async def deed(reader, writer):
            await server.read(reader)
            if server.connections == 1:
                await reader.read()  # until it is given up
            writer.write(http(200, f"of connection {server.connections}".encode()))

        return deed

    async with serving(late) as server, session_to(server.url, 0.2) as session:
        assert type(await session.send(POST)) is Ambiguous
        answer = await session.send(POST)
    assert isinstance(answer, HttpReply)
    assert (answer.body, server.connections) == (b"of connection 2", 2)


async def test_an_informational_answer_is_not_the_answer(session_to):
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with serving(answering(early + http(200, b"{}"))) as server, session_to(server.url) as session:
        answer = await session.send(POST)
    assert isinstance(answer, HttpReply)
    assert answer.status == 200


@pytest.mark.parametrize(
    "smuggled",
    [
        structs.replace(POST, headers={"X-MBX-APIKEY": "key\r\nX-Other: 1"}),
        structs.replace(POST, headers={"X-MBX-APIKEY": "key\nX-Other: 1"}),
        structs.replace(POST, headers={"X-MBX\r\n-APIKEY": "key"}),
    ],
    ids=["value", "bare line feed", "name"],
)
async def test_a_line_break_in_a_header_is_a_bug_and_nothing_is_sent(session_to, smuggled):
    async with serving(answering(http())) as server, session_to(server.url) as session:
        with pytest.raises(ValueError, match=r"line break|[Nn]ewline|control|CR|header"):
            await session.send(smuggled)
        assert server.requests == []
