"""Least privilege at a broker that asks for rights: each user can do its work, and nothing else; what is missing is told."""

import asyncio
import json
import os
import sys

import msgspec
import pytest
import pytest_asyncio
from confluent_kafka import KafkaError, TopicCollection
from confluent_kafka.admin import AdminClient

from deploy.kafka import rights
from gateway.client import connect
from gateway.kafka.topics import check_topics, create_topics
from gateway.settings.tree import KafkaSettings, Settings
from schemas import BinanceUsdm, LeverageChanged
from schemas.topics import Topics
from tests.app.processes import toml, until
from tests.app.rig import deployed
from tests.kafka.secured import LISTENERS, PASSWORD

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]
NAMES = [user.name for user in rights.users()]
LOGIN = LISTENERS["LOGIN"]


def login(secured, name):
    """How a user logs in, as changes of `rig.settings`."""
    return secured.changes("LOGIN", sasl_username=name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(secured):
    """Topics of this module with the rights of every user, and venues."""
    async with deployed(secured.cluster.bootstrap_servers, secured.folder) as rig:
        rig.users = {user.name: user for user in rights.users(rig.topics, rig.topics.commands)}
        for user in rig.users.values():
            await asyncio.to_thread(secured.grant, user)
        yield rig


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(secured, rig):
    settings = rig.settings(kafka=login(secured, "leverage-gateway"))
    async with rig.gateway(settings) as gateway:
        yield gateway


def client_of(secured, rig, name):
    return connect(
        f"kafka://{secured.cluster.listeners['LOGIN']}",
        topics=rig.topics,
        security_protocol=LOGIN,
        sasl_mechanism="PLAIN",
        sasl_plain_username=name,
        sasl_plain_password=PASSWORD,
    )


async def test_gateway_strategy_and_cache_do_their_work_with_their_rights_alone(secured, rig, gateway):
    async with (
        client_of(secured, rig, "leverage-strategy") as strategy,
        client_of(secured, rig, "leverage-cache") as risk,
    ):
        event = await strategy.set_leverage(BinanceUsdm(symbol="BTCUSDT"), 7, account="desk-1", timeout=20)
        assert isinstance(event, LeverageChanged)
        for client in (strategy, risk):
            cache = await client.cache()
            await cache.ready(20)
            assert [state.event.leverage for state in cache.values()] == [7]


async def test_ops_lists_and_redrives_dead_letters_with_its_rights_alone(secured, rig, gateway):
    await rig.ask(rig.command(account="nobody-here"))
    settings = rig.settings(kafka=login(secured, "leverage-ops"), accounts={})
    config = rig.folder / "ops.toml"
    config.write_text(toml(msgspec.to_builtins(settings)))
    listed = await ops("dead-letters", "list", "--json", "--config", config)
    assert [line["reason"] for line in listed if line["type"] == "DeadLetter"] == ["unknown_account"]
    plan = rig.folder / "plan"
    redrive = ("dead-letters", "redrive", "--json", "--force", "unknown_account", "--config", config)
    await ops(*redrive, "--plan", plan)
    await ops(*redrive, "--apply", plan, "--note", "it is there now")
    await until(
        lambda: [event.redrive_of for event in rig.events() if event.redrive_of], "the redriven command's answer"
    )
    assert [problem for problem in await check_topics(settings, base_dir=rig.folder) if problem.is_fatal] == []


async def ops(*arguments):
    """Run one command; what it printed, line by line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"COLUMNS": "200"},
    )
    out, err = await process.communicate()
    assert process.returncode == 0, (out, err)
    return [json.loads(line) for line in out.splitlines()]


async def test_who_makes_topics_can_and_needs_no_right_on_the_cluster(secured):
    names = Topics(**{role: f"made-{role}" for role in Topics.__struct_fields__})
    user = {user.name: user for user in rights.users(names)}["leverage-topics"]
    await asyncio.to_thread(secured.grant, user)
    settings = KafkaSettings(**login(secured, user.name), topics=names, partitions=2)
    made = await create_topics(Settings(kafka=settings), base_dir=secured.folder)
    assert {topic.result for topic in made} == {"created"}


@pytest.mark.parametrize("name", NAMES)
async def test_a_user_may_do_with_topics_what_the_table_says_and_nothing_else(secured, rig, name):
    allowed = await asyncio.to_thread(_allowed_topics, secured, rig, name)
    wanted = {right.name: _implied(right.operations) for right in rig.users[name].rights if right.kind == "topic"}
    assert allowed == {topic: wanted.get(topic, set()) for topic in msgspec.structs.asdict(rig.topics).values()}


def _implied(operations):
    implied = {"Describe"} if {"Read", "Write"} & set(operations) else set()
    return {operation.upper().replace("CONFIGS", "_CONFIGS") for operation in implied | set(operations)}


def _admin(secured, name):
    return AdminClient(
        {
            "bootstrap.servers": secured.cluster.listeners["LOGIN"],
            "security.protocol": LOGIN,
            "sasl.mechanism": "PLAIN",
            "sasl.username": name,
            "sasl.password": PASSWORD,
            "log_level": 0,
        }
    )


def _allowed_topics(secured, rig, name):
    """What the broker itself says that a user may do, by topic."""
    topics = list(msgspec.structs.asdict(rig.topics).values())
    admin = _admin(secured, name)  # held: its answers go with it
    asked = admin.describe_topics(TopicCollection(topics), include_authorized_operations=True)
    return {topic: _operations(answer) for topic, answer in asked.items()}


def _operations(answer):
    if answer.exception() is not None:
        assert answer.exception().args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
        return set()
    return {operation.name for operation in answer.result().authorized_operations}


@pytest.mark.parametrize("name", NAMES)
async def test_no_user_may_do_anything_with_the_cluster(secured, rig, name):
    admin = _admin(secured, name)  # held: its answers go with it
    asked = admin.describe_cluster(include_authorized_operations=True)
    cluster = await asyncio.to_thread(asked.result, 20)
    assert not cluster.authorized_operations


async def test_an_answer_without_the_right_to_write_it_is_told_and_is_written_once_when_the_right_is_back(
    secured, rig, gateway
):
    right = rights.Right("topic", rig.topics.events, ("Write",))
    with secured.without("leverage-gateway", right):
        command = rig.command(leverage=9)
        await rig.send(command)
        await until(lambda: gateway.health.ready()[1]["refused"] == 1, "the partition's answers are refused")
        assert not gateway.health.ready()[0]
        assert rig.events(command) == []
    [event] = await rig.answers(command)
    assert event.leverage == 9
    await rig.settled()
    assert len(rig.events(command)) == 1
    await until(lambda: gateway.health.ready()[0], "it is ready again")
