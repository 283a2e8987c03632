"""Rights that a gateway never had, or loses while it works: said once, with the right; nothing is lost."""

import asyncio

import pytest
import pytest_asyncio

from deploy.kafka import rights
from deploy.kafka.rights import Right
from tests.app.processes import until
from tests.app.rig import deployed

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]
NAME = "leverage-gateway"
MANY = 40  # log lines that a fault may make in all, however often what failed is tried


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(secured):
    async with deployed(secured.cluster.bootstrap_servers, secured.folder) as rig:
        [user] = [user for user in rights.users(rig.topics, rig.topics.commands) if user.name == NAME]
        await asyncio.to_thread(secured.grant, user)
        yield rig


def settings(secured, rig, **kafka):
    return rig.settings(kafka=secured.changes("LOGIN", sasl_username=NAME) | kafka)


def ids(rig):
    group = rig.topics.commands
    return Right("transactionalId", f"{group}-{rig.topics.commands}-", ("Write",), is_prefix=True)


async def test_who_may_not_describe_configs_works_and_is_told_topic_and_right(secured, rig):
    right = Right("topic", rig.topics.events, ("DescribeConfigs",))
    with secured.without(NAME, right):
        async with rig.process("undescribed", settings(secured, rig)) as process:
            [told] = process.logged("found_topic_problem")
            assert told["topic"] == rig.topics.events
            assert "lacks DescribeConfigs" in told["problem"]
            [event] = await rig.ask(rig.command(leverage=4))
            assert event.leverage == 4
            assert await process.terminate() == 0


async def ends(rig, name, changed):
    """Starts a gateway that cannot work, and returns its only error line and how many lines there are."""
    async with rig.process(name, changed, ready=False) as process:
        code = await asyncio.to_thread(process.popen.wait, 20)
        assert code == 3, process.log
        assert process.log_lines[-1]["event"] == "failed_gateway"
        assert len(process.log_lines) < MANY, process.log
        return process.log_lines[-1]["error"]


async def test_who_may_not_write_with_its_transactional_ids_ends_and_says_which_right(secured, rig):
    with secured.without(NAME, ids(rig)):
        error = await ends(rig, "no-ids", settings(secured, rig))
    assert f"may not Write with the transactional id {ids(rig).name}" in error


async def test_a_transaction_timeout_above_the_brokers_ends_and_says_which_setting(secured, rig):
    error = await ends(rig, "too-long", settings(secured, rig, transaction_timeout_ms=1_000_000))
    assert "kafka.transaction_timeout_ms: is above the broker's transaction.max.timeout.ms" in error


@pytest.mark.parametrize("topic", ["events", "state", "dead_letters"])
async def test_a_right_to_write_lost_in_mid_run_is_no_readiness_and_the_answer_comes_once_when_it_is_back(
    secured, rig, topic
):
    account = "nobody-here" if topic == "dead_letters" else "desk-1"
    async with rig.gateway(settings(secured, rig)) as gateway:
        with secured.without(NAME, Right("topic", getattr(rig.topics, topic), ("Write",))):
            command = rig.command(leverage=9, account=account)
            await rig.send(command)
            await until(lambda: not gateway.health.ready()[0], "it says that it is not ready")
        [event] = await rig.answers(command)
        await until(lambda: gateway.health.ready()[0], "it is ready again")
        await rig.settled()
        assert rig.events(command) == [event]


async def test_a_topic_of_commands_that_may_not_be_read_any_more_is_no_standing_by(secured, rig):
    async with rig.gateway(settings(secured, rig)) as gateway:
        with secured.without(NAME, Right("topic", rig.topics.commands, ("Read",))):
            await until(lambda: gateway.health.ready()[1]["partitions"] == 0, "it has no partition any more")
            await until(lambda: not gateway.health.ready()[0], "it says that it is not ready")
        [event] = await rig.ask(rig.command(leverage=7), patience=40)
        assert event.leverage == 7
        await until(lambda: gateway.health.ready()[0], "it is ready again")


def misses_group(process):
    return [line for line in process.logged("missed_kafka") if "GroupAuthorization" in line["error"]]


async def test_a_group_whose_right_to_read_is_taken_away_and_given_back_works_on(secured, rig):
    async with rig.process("group", settings(secured, rig)) as process:
        with secured.without(NAME, Right("group", rig.topics.commands, ("Read",))):
            await until(lambda: misses_group(process), "it says what it misses")
        [event] = await rig.ask(rig.command(leverage=6), patience=40)
        assert event.leverage == 6
        assert await process.terminate() == 0
