"""OAUTHBEARER: tokens from a file and from an endpoint, asked for when they are needed, and never told."""

import asyncio
import base64
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from aiohttp import web

from gateway.kafka.connection import client_options
from gateway.kafka.tokens import EndpointToken, FileToken, TokenError
from gateway.settings.tree import KafkaSettings
from schemas import LeverageChanged
from tests.app.rig import deployed
from tests.kafka.secured import token

SECRET = "secret-7f3c9d"


class Endpoint:
    """Grants tokens to who knows the secret, or answers what it is told to."""

    def __init__(self):
        self.asked = []
        self.life = 100.0
        self.answer = None
        self.url = ""

    async def grant(self, request):
        form = await request.post()
        self.asked.append(dict(form))
        login = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
        if self.answer is not None:
            return web.Response(status=self.answer[0], text=self.answer[1], headers={"Location": "/token"})
        if login != f"engine:{SECRET}":
            return web.json_response({"error": "invalid_client"}, status=401)
        return web.json_response({"access_token": token(seconds=self.life), "expires_in": self.life})


@asynccontextmanager
async def serving(endpoint):
    app = web.Application()
    app.router.add_post("/token", endpoint.grant)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    endpoint.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/token"
    try:
        yield endpoint
    finally:
        await runner.cleanup()


@pytest.fixture
async def endpoint():
    async with serving(Endpoint()) as endpoint:
        yield endpoint


def named(url, **changes):
    (own := {"oauth_client_id": "engine", "oauth_client_secret_file": "client"}).update(changes)
    return KafkaSettings(sasl_mechanism="OAUTHBEARER", oauth_token_endpoint=url, **own)


@pytest.fixture
def tokens(endpoint, tmp_path, clock):
    (tmp_path / "client").write_text(SECRET)
    return EndpointToken(named(endpoint.url, oauth_scope="kafka"), tmp_path, clock.monotonic)


async def test_a_token_is_asked_for_once_for_all_that_log_in_and_again_before_it_ends(tokens, endpoint, clock):
    first = await asyncio.gather(*(tokens.token() for _ in range(12)))
    assert len(set(first)) == 1
    assert endpoint.asked == [{"grant_type": "client_credentials", "scope": "kafka"}]
    clock.advance(79.0)
    assert await tokens.token() == first[0]
    clock.advance(2.0)
    await tokens.token()
    assert len(endpoint.asked) == 2


async def test_while_the_endpoint_fails_the_token_serves_until_it_ends(tokens, endpoint, clock):
    before = await tokens.token()
    endpoint.answer = (503, "")
    clock.advance(90.0)
    assert await tokens.token() == before
    clock.advance(11.0)
    with pytest.raises(TokenError, match=r"no token from kafka\.oauth_token_endpoint: it answers 503"):
        await tokens.token()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((302, ""), "it answers 302"),
        ((200, "<html>"), "its answer is no token"),
        ((200, '{"access_token": ""}'), "its answer is no token"),
        ((200, '{"access_token": "x", "expires_in": -1}'), "its answer is no token"),
        ((200, "[" * 100_000), "its answer is no token"),
    ],
)
async def test_an_answer_that_grants_nothing_is_told_without_its_text(tokens, endpoint, answer, why):
    endpoint.answer = answer
    with pytest.raises(TokenError, match=why) as refused:
        await tokens.token()
    assert answer[1] == "" or answer[1] not in str(refused.value)


async def test_a_secret_that_is_wrong_or_missing_and_an_endpoint_that_is_gone_are_told_apart(
    endpoint, tmp_path, clock, unused_tcp_port
):
    (tmp_path / "client").write_text("wrong-7f3c9d")
    cases = {
        named(endpoint.url): "it answers 401",
        named(endpoint.url, oauth_client_secret_file="none"): "kafka.oauth_client_secret_file: the file cannot be read",
        named(f"http://127.0.0.1:{unused_tcp_port}/token"): "no answer",
    }
    for settings, why in cases.items():
        with pytest.raises(TokenError, match=why) as refused:
            await EndpointToken(settings, tmp_path, clock.monotonic).token()
        assert "7f3c9d" not in str(refused.value)


async def test_a_token_in_a_file_is_read_at_every_login(tmp_path):
    file = tmp_path / "token"
    file.write_text("first\n")
    tokens = FileToken(file)
    assert await tokens.token() == "first"
    file.write_text("second\n")
    assert await tokens.token() == "second"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(secured):
    async with deployed(secured.cluster.bootstrap_servers, secured.folder) as rig:
        yield rig


@pytest.mark.kafka
@pytest.mark.asyncio(loop_scope="module")
async def test_tokens_that_end_and_a_broker_that_ends_connections_lose_no_command(secured, rig):
    (secured.folder / "client").write_text(SECRET)
    async with serving(Endpoint()) as endpoint:
        endpoint.life = 2.0
        kafka = secured.changes(
            "TOKEN",
            sasl_mechanism="OAUTHBEARER",
            oauth_token_endpoint=endpoint.url,
            oauth_client_id="engine",
            oauth_client_secret_file="client",
        )
        commands = []
        async with rig.gateway(rig.settings(kafka=kafka)):
            already = len(endpoint.asked)
            while len(endpoint.asked) < already + 3:  # each a new login: what there is ends with its token
                commands.append(rig.command(leverage=1 + len(commands) % 20))
                [event] = await rig.ask(commands[-1])
                assert isinstance(event, LeverageChanged)
    assert len(rig.events(*commands)) == len(commands)


def test_options_hold_the_provider_and_no_password(tmp_path):
    settings = KafkaSettings(security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER", oauth_token_file="token")
    options = client_options(settings, tmp_path)
    assert isinstance(options["sasl_oauth_token_provider"], FileToken)
    assert "sasl_plain_password" not in options
