"""The probes' server, over real sockets."""

import asyncio
import logging
import resource
import socket
from contextlib import suppress

import pytest
from aiohttp import ClientSession

from gateway.pipeline.steps import LaneWait
from gateway.telemetry import server as server_module
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.server import ListenError, ObservabilityServer


class Health:
    def __init__(self):
        self.living = self.readiness = True

    def alive(self):
        return self.living, {"seconds_since_poll": 0.5}

    def ready(self):
        return self.readiness, {"draining": not self.readiness}

    def lanes(self):
        for number in range(1_500):
            account = "desk-1" if number % 3 else "desk-2"
            yield LaneWait(venue="okx", account=account, lane=f"L{number}", commands=2, reason="permit", seconds=1.5)


@pytest.fixture
def health():
    return Health()


@pytest.fixture
async def server(health):
    server = ObservabilityServer("127.0.0.1:0", health=health, metrics=Metrics())
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def http():
    async with ClientSession() as session:
        yield session


async def test_probes_say_yes_and_why(server, http):
    async with http.get(f"{server.url}/livez") as live, http.get(f"{server.url}/readyz") as ready:
        assert (live.status, await live.json()) == (200, {"ok": True, "seconds_since_poll": 0.5})
        assert (ready.status, await ready.json()) == (200, {"ok": True, "draining": False})


async def test_a_draining_gateway_is_alive_and_not_ready(server, health, http):
    health.readiness = False
    async with http.get(f"{server.url}/livez") as live, http.get(f"{server.url}/readyz") as ready:
        assert live.status == 200
        assert (ready.status, await ready.json()) == (503, {"ok": False, "draining": True})


async def test_what_each_lane_waits_for_is_shown_for_a_venue_and_account_and_no_page_is_endless(server, http):
    async with http.get(f"{server.url}/lanes") as every, http.get(f"{server.url}/lanes?account=desk-2") as chosen:
        shown = await every.json()
        assert (shown["count"], len(shown["lanes"])) == (1_500, 1_000)
        shown = await chosen.json()
        assert shown["count"] == 500
        assert shown["lanes"][0] == {
            "venue": "okx", "account": "desk-2", "lane": "L0", "commands": 2, "reason": "permit", "seconds": 1.5,
        }  # fmt: skip
    async with http.get(f"{server.url}/lanes?venue=ztdx") as none:
        assert await none.json() == {"count": 0, "lanes": []}


async def test_metrics_are_prometheus_text(server, http):
    async with http.get(f"{server.url}/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert "# TYPE gateway_commands_total counter" in await answer.text()


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/livez", 405), ("GET", "/x", 404)])
async def test_there_is_nothing_else(server, http, method, path, status):
    async with http.request(method, server.url + path) as answer:
        assert answer.status == status


@pytest.mark.parametrize(
    ("host", "status"), [("localhost:1", 200), ("[::1]:1", 200), ("rebound.example:8080", 403), ("[::1", 403)]
)
async def test_probes_of_this_machine_alone_answer_to_no_foreign_name(server, http, host, status):
    async with http.get(f"{server.url}/metrics", headers={"Host": host}) as answer:
        assert answer.status == status


async def test_probes_beyond_this_machine_answer_to_any_name(health, http):
    server = ObservabilityServer("0.0.0.0:0", health=health, metrics=Metrics())
    await server.start()
    async with http.get(f"{server.url}/livez", headers={"Host": "gateway-0.pods"}) as answer:
        assert answer.status == 200
    await server.stop()


async def test_a_probe_that_fails_tells_no_details(server, health, http):
    health.alive = lambda: {}["7f3c9d"]
    server = ObservabilityServer("127.0.0.1:0", health=health, metrics=Metrics())
    await server.start()
    async with http.get(f"{server.url}/livez") as answer:
        assert answer.status == 500
        assert "7f3c9d" not in await answer.text()
    await server.stop()


async def test_an_address_in_use_is_told_with_the_setting_and_a_remedy(health):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = ObservabilityServer(f"127.0.0.1:{port}", health=health, metrics=Metrics())
        with pytest.raises(
            ListenError, match=rf"http.listen: cannot listen on 127.0.0.1:{port}: .*port 0 for a free one"
        ):
            await server.start()


async def test_a_server_that_stopped_gives_its_port_back(health):
    server = ObservabilityServer("127.0.0.1:0", health=health, metrics=Metrics())
    await server.start()
    port = int(server.url.rpartition(":")[2])
    await server.stop()
    socket.create_server(("127.0.0.1", port)).close()


def address_of(server):
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    return host, int(port)


async def test_a_thousand_idle_connections_do_not_take_the_probes_away(server, http):
    resource_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    idle = [await asyncio.open_connection(*address_of(server)) for _ in range(min(1000, resource_limit // 2 - 100))]
    try:
        async with http.get(f"{server.url}/livez") as live:
            assert live.status == 200
        ended = sum([reader.at_eof() or reader.exception() is not None for reader, _ in idle])
        assert len(idle) - ended <= server_module.MOST_CONNECTIONS
    finally:
        for _, writer in idle:
            writer.close()
        await asyncio.sleep(0)


async def test_a_connection_that_asks_nothing_is_ended(server, monkeypatch):
    monkeypatch.setattr(server_module, "CONNECTION_LASTS", 0.0)
    reader, writer = await asyncio.open_connection(*address_of(server))
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    "request_bytes",
    [b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01 no request\r\n\r\n", b"GET\r\n\r\n"],
)
async def test_no_answer_tells_the_server_and_no_request_makes_a_log_line(server, caplog, request_bytes):
    reader, writer = await asyncio.open_connection(*address_of(server))
    with caplog.at_level(logging.DEBUG):
        writer.write(request_bytes)
        answer = await asyncio.wait_for(reader.read(), 5)  # to the end: a connection has one request
    assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert b"aiohttp" not in answer
    assert b"Python" not in answer
    assert [record for record in caplog.records if record.name != "asyncio"] == []
    writer.close()
    await asyncio.sleep(0)
