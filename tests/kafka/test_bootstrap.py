"""Brokers are found once, side by side: one that is silent costs its own time, not every client's."""

import socket

import pytest

from gateway.kafka import bootstrap
from gateway.kafka.bootstrap import BootstrapServers, reachable
from gateway.kafka.connection import UnreachableError, client_options
from gateway.settings.tree import KafkaSettings


@pytest.fixture
def silent_host():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def servers_of(*hosts, request_timeout_ms=30_000):
    settings = KafkaSettings(bootstrap_servers=",".join(hosts), request_timeout_ms=request_timeout_ms)
    return settings, {**client_options(settings, None)}


@pytest.mark.kafka
@pytest.mark.timeout(25)  # less than the time that the silent host has where it is the only one
async def test_a_silent_host_is_left_out_and_said(kafka_bootstrap, silent_host, unused_tcp_port):
    refusing = f"127.0.0.1:{unused_tcp_port}"
    settings, options = servers_of(silent_host, kafka_bootstrap, refusing)
    told = {}
    servers = BootstrapServers(settings, options, told.__setitem__)
    await servers.find()
    assert options["bootstrap_servers"] == [kafka_bootstrap]
    assert told == {
        silent_host: "no answer in time",
        refusing: "the connection is refused: nothing listens there",
    }
    told.clear()
    await servers.find()
    assert told == {}  # once


async def test_where_none_answers_each_has_its_reason(silent_host, unused_tcp_port):
    refusing = f"127.0.0.1:{unused_tcp_port}"
    with pytest.raises(UnreachableError) as refused:
        await reachable(*servers_of(silent_host, refusing, request_timeout_ms=50))
    assert f"{silent_host}: no answer in time; {refusing}: the connection is refused" in str(refused.value)


@pytest.mark.parametrize(("patience", "tries"), [(0.0, 1), (60.0, 3)])
async def test_a_start_waits_for_brokers_for_as_long_as_it_is_told(monkeypatch, patience, tries):
    monkeypatch.setattr(bootstrap, "START_AGAIN", 0.0)
    tried = []

    async def find(_servers):
        tried.append(1)
        if len(tried) < 3:
            raise UnreachableError("nobody")

    monkeypatch.setattr(BootstrapServers, "find", find)
    settings = KafkaSettings(start_patience=patience)
    waiting = BootstrapServers(settings, client_options(settings, None)).wait()
    if patience:
        await waiting
    else:
        with pytest.raises(UnreachableError):
            await waiting
    assert len(tried) == tries


async def test_a_name_that_is_no_host_is_told(monkeypatch):
    with pytest.raises(UnreachableError, match="there is no host of this name"):
        await reachable(*servers_of("nowhere.invalid:9092"))
