"""The parts of aiohttp that the lean client stands on, and that no release promises."""

import inspect

import aiohttp
from aiohttp.client_proto import ResponseHandler

from gateway.transport.connections import connections

REMEDY = (
    "aiohttp has moved what gateway/transport/by_wire.py stands on: set venues.*.http_client = 'session', and mend it"
)


def parameters(function) -> set[str]:
    return set(inspect.signature(function).parameters)


def test_a_request_without_a_session_says_where_to_connect():
    assert {"method", "url", "loop", "proxy"} <= parameters(aiohttp.ClientRequest.__init__), REMEDY


def test_the_connector_gives_a_connection_for_a_request():
    assert parameters(aiohttp.TCPConnector.connect) == {"self", "req", "traces", "timeout"}, REMEDY


def test_a_connection_is_given_back_or_closed():
    connection = aiohttp.connector.Connection
    assert {"protocol", "transport", "release", "close"} <= set(dir(connection)), REMEDY


def test_a_connections_protocol_parses_answers_and_says_whether_it_may_be_used_again():
    assert {"read_until_eof", "auto_decompress"} <= parameters(ResponseHandler.set_response_params), REMEDY
    assert {"read", "should_close", "is_connected"} <= set(dir(ResponseHandler)), REMEDY


async def test_the_connector_looks_at_what_came_while_a_connection_was_idle():
    connector = connections()
    try:
        assert connector.limit == 0
    finally:
        await connector.close()
