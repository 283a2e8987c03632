"""The probes' server, over real sockets."""

import socket

import pytest
from aiohttp import ClientSession

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.server import ListenError, ObservabilityServer


class Health:
    def __init__(self):
        self.living = self.readiness = True

    def alive(self):
        return self.living, {"seconds_since_poll": 0.5}

    def ready(self):
        return self.readiness, {"draining": not self.readiness}


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


async def test_metrics_are_prometheus_text(server, http):
    async with http.get(f"{server.url}/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert "# TYPE gateway_commands_total counter" in await answer.text()


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/livez", 405), ("GET", "/x", 404)])
async def test_there_is_nothing_else(server, http, method, path, status):
    async with http.request(method, server.url + path) as answer:
        assert answer.status == status


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
