"""A broker that will not have us as we come: the last line says why, and which setting to look at."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection, CloseReason

from gateway.clock import SystemClock
from gateway.kafka import group
from gateway.kafka.answer_log import KafkaAnswerLog
from gateway.kafka.bootstrap import reachable
from gateway.kafka.connection import UnreachableError, client_options
from gateway.kafka.history import is_quiet
from gateway.kafka.partitioner import Partitioner
from gateway.kafka.tail import Groups
from gateway.kafka.topics import check_topics, create_topics
from gateway.kafka_clients import KafkaClients
from gateway.ownership.ledger import LogPosition
from gateway.ownership.ports import OutRecord
from gateway.settings.tree import Settings
from schemas.headers import COMMAND_OFFSET
from schemas.topics import Topics

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]


async def reason(secured, *args, **changes):
    settings = secured.settings(*args, **changes)
    with pytest.raises(UnreachableError) as refused:
        await reachable(settings, client_options(settings, secured.folder))
    assert "7f3c9d" not in str(refused.value)
    return str(refused.value)


TOKEN = {"sasl_mechanism": "OAUTHBEARER", "oauth_token_file": "token"}
RIGHT = [
    ("PLAINTEXT", "PLAINTEXT", {}),
    ("TLS", "SSL", {}),
    ("MUTUAL", "SSL", {"ssl_certfile": "client.pem"}),
    ("LOGIN", "SASL_PLAINTEXT", {}),
    ("LOGIN", "SASL_PLAINTEXT", {"sasl_mechanism": "SCRAM-SHA-256"}),
    ("SECURE", "SASL_SSL", {"sasl_mechanism": "SCRAM-SHA-512"}),
    ("SECURE", "SASL_SSL", {}),
    ("TOKEN", "SASL_PLAINTEXT", TOKEN),
]
WRONG = [
    (
        "LOGIN",
        "SASL_PLAINTEXT",
        {"sasl_password_file": "wrong"},
        "refuses the user name or the password (kafka.sasl_username, kafka.sasl_password_file)",
    ),
    ("LOGIN", "SASL_PLAINTEXT", {"sasl_username": "nobody"}, "refuses the user name or the password"),
    ("SECURE", "SASL_SSL", {"sasl_password_file": "wrong"}, "refuses the user name or the password"),
    (
        "LOGIN",
        "SASL_PLAINTEXT",
        {"sasl_mechanism": "SCRAM-SHA-256", "sasl_password_file": "wrong"},
        "refuses the user name or the password",
    ),
    ("LOGIN", "SASL_PLAINTEXT", {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "guest"}, "refuses the user name"),
    ("TOKEN", "SASL_PLAINTEXT", {}, "takes no PLAIN (kafka.sasl_mechanism)"),
    ("TOKEN", "SASL_PLAINTEXT", TOKEN | {"oauth_token_file": "stale-token"}, "refuses the token"),
    ("TOKEN", "SASL_PLAINTEXT", TOKEN | {"oauth_token_file": "wrong"}, "refuses the token"),
    (
        "TOKEN",
        "SASL_PLAINTEXT",
        TOKEN | {"oauth_token_file": "nothing"},
        "kafka.oauth_token_file: the file cannot be read",
    ),
    ("LOGIN", "SASL_PLAINTEXT", TOKEN, "takes no OAUTHBEARER (kafka.sasl_mechanism)"),
    ("TLS", "SSL", {"ssl_cafile": "foreign.pem"}, "of no CA that is trusted (kafka.ssl_cafile)"),
    ("STALE", "SSL", {}, "the broker's certificate is out of date"),
    ("ELSEWHERE", "SSL", {}, "the broker's certificate is not for this host"),
    ("TLS", "PLAINTEXT", {}, "kafka.security_protocol"),
    ("PLAINTEXT", "SSL", {}, "may not speak TLS (kafka.security_protocol)"),
    ("LOGIN", "PLAINTEXT", {}, "kafka.security_protocol is one with SASL there"),
    ("SECURE", "SSL", {}, "kafka.security_protocol is one with SASL there"),
    ("PLAINTEXT", "SASL_PLAINTEXT", {}, "takes no login with SASL (kafka.security_protocol)"),
    ("MUTUAL", "SSL", {}, "kafka.ssl_certfile"),
    ("MUTUAL", "SSL", {"ssl_certfile": "client-foreign.pem"}, "kafka.ssl_certfile"),
]


@pytest.mark.parametrize(("listener", "protocol", "changes"), RIGHT)
async def test_right_credentials_reach_each_kind_of_listener(secured, listener, protocol, changes):
    settings = secured.settings(listener, protocol, **changes)
    await reachable(settings, client_options(settings, secured.folder))


@pytest.mark.parametrize(("listener", "protocol", "changes", "why"), WRONG)
async def test_each_way_to_be_wrong_has_its_reason(secured, listener, protocol, changes, why):
    said = await reason(secured, listener, protocol, **changes)
    assert why in said


TOPICS = Topics(commands="commands", events="events", state="state", dead_letters="dlq")


def answer_log(secured, partition, listener="SECURE", protocol="SASL_SSL", **changes):
    return KafkaAnswerLog(
        clients=KafkaClients(client_options(secured.settings(listener, protocol, **changes), secured.folder)),
        topics=TOPICS,
        partition=partition,
        transactional_id=f"test-{partition}",
        groups=Groups("ours", ()),
        transaction_timeout_ms=10_000,
        patience=10.0,
        clock=SystemClock(),
    )


async def test_twelve_partitions_are_taken_over_over_tls_without_waiting_for_the_brokers_goodbye(secured):
    settings = secured.settings("PLAINTEXT", "PLAINTEXT", topics=TOPICS, partitions=12)
    await create_topics(Settings(kafka=settings), base_dir=secured.folder)

    async def take_over(partition):
        log = answer_log(secured, partition)
        for offset in range(2):
            await log.fence()  # ends what was open: before it, a committed record may still lack its marker
            tail = await log.read(LogPosition(0, 0))
            assert set(tail.answered) == set(range(offset))
            await log.write([OutRecord("events", b"k", b"{}", [(COMMAND_OFFSET, b"%d" % offset)])])
        await log.close()

    async def take_all_over():
        async with asyncio.timeout(25.0):  # the goodbye would take thirty
            await asyncio.gather(*map(take_over, range(12)))

    await asyncio.to_thread(uvloop.run, take_all_over())


@pytest.fixture
def mute(monkeypatch):
    """Each connection that a client closes waits for the broker's goodbye until it is cut, as one in four may under uvloop."""
    close, waiting = AIOKafkaConnection.close, []

    def close_in_vain(connection, reason=None, exc=None):
        if reason == CloseReason.SHUTDOWN and connection._writer is not None:
            waiting.append(connection._writer)
            connection._writer = SimpleNamespace(close=lambda: None, transport=waiting[-1].transport)
        return close(connection, reason, exc)

    monkeypatch.setattr(AIOKafkaConnection, "close", close_in_vain)

    async def run(work):
        try:
            async with asyncio.timeout(25.0):
                return await work
        finally:
            for writer in waiting:
                writer.transport.abort()

    return lambda work: asyncio.to_thread(uvloop.run, run(work))


class Idle:
    """A partition that is fetched from and does nothing."""

    incomplete, full, has_room, position = 0, False, True, 0

    def __init__(self, _parts, _inheritance, **_more):
        return

    async def run(self):
        await asyncio.Event().wait()

    def checkpoint(self):
        return None


async def nothing_left(*_):
    """A takeover of what nobody had."""


class Troubles(list[Any]):
    """An observer that keeps what Kafka did not do."""

    def kafka_failed(self, operation, error):
        self.append((operation, error))

    def __getattr__(self, _name):
        return lambda *_args, **_more: None


async def test_members_leave_over_tls_without_waiting_for_the_brokers_goodbye_and_the_group_knows(
    secured, mute, monkeypatch
):
    monkeypatch.setattr(group, "Partition", Idle)
    monkeypatch.setattr(group, "take_over", nothing_left)
    parts = SimpleNamespace(policy=SimpleNamespace(repeat_window=None), observer=None)
    settings = secured.settings("PLAINTEXT", "PLAINTEXT", topics=TOPICS, partitions=12)
    await create_topics(Settings(kafka=settings), base_dir=secured.folder)
    names, troubles = [f"leaving-{number}" for number in range(3)], Troubles()

    async def join(name):
        options = client_options(secured.settings("TLS", "SSL"), secured.folder)
        own = secured.settings("TLS", "SSL", topics=TOPICS, partitions=12, group_id=name)
        member = group.Group(
            own,
            parts=parts,
            partitioner=Partitioner(own),
            clients=KafkaClients(options),
            drain_timeout=1.0,
            clock=SystemClock(),
            observer=troubles,
        )
        working = asyncio.create_task(member.run())
        while not (member.joined and member.paused == 0):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
        return working

    async def leave(working):
        working.cancel()
        await asyncio.wait([working])

    async def join_and_leave():
        for _ in range(2):  # for who does not leave, a session of thirty seconds is waited out
            members = await asyncio.gather(*map(join, names))
            await asyncio.gather(*map(leave, members))

    await mute(join_and_leave())
    assert not troubles


async def test_what_a_start_asks_over_tls_does_not_wait_for_the_brokers_goodbye(secured, mute):
    settings = secured.settings("SECURE", "SASL_SSL", topics=TOPICS, partitions=12)
    await create_topics(Settings(kafka=settings), base_dir=secured.folder)
    settings = msgspec.structs.replace(settings, request_timeout_ms=20_000, group_id="never-was")
    assert await mute(is_quiet(settings, client_options(settings, secured.folder), since=time.time() + 3600))
    assert await mute(check_topics(Settings(kafka=settings), base_dir=secured.folder)) == []


async def test_who_may_not_use_the_transactional_id_is_told_which_right_is_missing(secured):
    log = answer_log(secured, 3, "LOGIN", "SASL_PLAINTEXT", sasl_username="guest")
    with pytest.raises(UnreachableError, match="may not Write with the transactional id test-3; give it that right"):
        await log.fence()
