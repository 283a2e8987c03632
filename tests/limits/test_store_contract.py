"""The contract of a store of shared limits, kept by a real redis-server and by the one on simulated time."""

from random import Random

import pytest

from gateway.limits.redis_store import RedisStore
from tests.kit.jumping import clock, jumping
from tests.limits.redis_server import RedisServer
from tests.limits.scripted_store import ScriptedServer, ScriptedStore
from tests.limits.store_contract import RULES, Rule, what_is_gone_is_told_as_such

every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)


@every_rule
async def test_on_a_real_server(rule: Rule, store: RedisStore):
    await rule(store)


@every_rule
@jumping
async def test_on_simulated_time(rule: Rule):
    loop = clock()
    await rule(ScriptedStore(ScriptedServer(loop, Random(1))))


async def test_a_real_server_that_is_gone_is_told_as_such(server: RedisServer, store: RedisStore):
    await server.kill()
    await what_is_gone_is_told_as_such(store)


@jumping
async def test_a_server_on_simulated_time_that_is_gone_is_told_as_such():
    loop = clock()
    server = ScriptedServer(loop, Random(1))
    server.kill()
    await what_is_gone_is_told_as_such(ScriptedStore(server))
