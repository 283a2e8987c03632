"""A broker that will not have us as we come: the last line says why, and which setting to look at."""

import asyncio

import pytest
import pytest_asyncio
import uvloop

from deploy.kafka.broker import Cluster
from gateway.clock import SystemClock
from gateway.kafka.answer_log import KafkaAnswerLog
from gateway.kafka.bootstrap import reachable
from gateway.kafka.connection import UnreachableError, client_options
from gateway.kafka.topics import create_topics
from gateway.ownership.ledger import LogPosition
from gateway.ownership.ports import OutRecord
from gateway.settings.tree import KafkaSettings, Settings
from schemas.headers import COMMAND_OFFSET
from schemas.topics import Topics
from tests.certificates import Authority

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]
PASSWORD = "right-7f3c9d"

LISTENERS = {
    "TLS": "SSL",
    "MUTUAL": "SSL",
    "STALE": "SSL",
    "ELSEWHERE": "SSL",
    "LOGIN": "SASL_PLAINTEXT",
    "SECURE": "SASL_SSL",
}


class Secured:
    """One broker with a listener of each kind, and the files to reach them with."""

    def __init__(self, folder):
        self.folder = folder
        self.ours, self.foreign = Authority(folder, "ours"), Authority(folder, "foreign")
        servers = {name: self.ours.issue(f"server-{name}") for name in ("TLS", "MUTUAL", "SECURE")}
        servers["STALE"] = self.ours.issue("server-stale", days=-1)
        servers["ELSEWHERE"] = self.ours.issue("server-elsewhere", address="127.0.0.9")
        self.ours.issue("client")
        self.ours.issue("client-stale", days=-1)
        self.foreign.issue("client-foreign")
        for name, text in {"right": PASSWORD, "wrong": "wrong-7f3c9d"}.items():
            (folder / name).write_text(text)
        lines = [
            f"listener.name.{name.lower()}.ssl.keystore.{part}"
            for name, file in servers.items()
            for part in ("type=PEM", f"location={file}")
        ]
        lines += [
            "listener.name.mutual.ssl.client.auth=required",
            "listener.name.mutual.ssl.truststore.type=PEM",
            f"listener.name.mutual.ssl.truststore.location={self.ours.file}",
        ]
        for name in ("login", "secure"):
            lines += [
                f"listener.name.{name}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256",
                f"listener.name.{name}.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
                f'listener.name.{name}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_gateway="{PASSWORD}" user_guest="{PASSWORD}";',
            ]
        lines += [
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS;User:gateway",
        ]
        self.cluster = Cluster(listeners=LISTENERS, properties="\n".join(lines) + "\n")

    def settings(self, listener, protocol, **changes):
        at = self.cluster.listeners.get(listener, self.cluster.bootstrap_servers)
        own = {}
        if protocol.startswith("SASL"):
            own |= {"sasl_username": "gateway", "sasl_password_file": "right"}
        if protocol.endswith("SSL"):
            own |= {"ssl_cafile": "ours.pem"}
        return KafkaSettings(
            bootstrap_servers=at, security_protocol=protocol, request_timeout_ms=5_000, **own | changes
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def secured(kafka_bootstrap, tmp_path_factory):
    secured = Secured(tmp_path_factory.mktemp("secured"))
    await asyncio.to_thread(secured.cluster.start)
    yield secured
    await asyncio.to_thread(secured.cluster.stop)


async def reason(secured, *args, **changes):
    settings = secured.settings(*args, **changes)
    with pytest.raises(UnreachableError) as refused:
        await reachable(settings, client_options(settings, secured.folder))
    assert "7f3c9d" not in str(refused.value)
    return str(refused.value)


RIGHT = [
    ("PLAINTEXT", "PLAINTEXT", {}),
    ("TLS", "SSL", {}),
    ("MUTUAL", "SSL", {"ssl_certfile": "client.pem"}),
    ("LOGIN", "SASL_PLAINTEXT", {}),
    ("SECURE", "SASL_SSL", {}),
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
    ("LOGIN", "SASL_PLAINTEXT", {"sasl_mechanism": "SCRAM-SHA-256"}, "refuses the user name or the password"),
    ("LOGIN", "SASL_PLAINTEXT", {"sasl_mechanism": "SCRAM-SHA-512"}, "takes no SCRAM-SHA-512 (kafka.sasl_mechanism)"),
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
        options=client_options(secured.settings(listener, protocol, **changes), secured.folder),
        consumer_options={},
        topics=TOPICS,
        partition=partition,
        transactional_id=f"test-{partition}",
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
            assert tail.answered == set(range(offset))
            await log.write([OutRecord("events", b"k", b"{}", [(COMMAND_OFFSET, b"%d" % offset)])])
        await log.close()

    async def take_all_over():
        async with asyncio.timeout(25.0):  # the goodbye would take thirty
            await asyncio.gather(*map(take_over, range(12)))

    await asyncio.to_thread(uvloop.run, take_all_over())


async def test_who_may_not_use_the_transactional_id_is_told_which_right_is_missing(secured):
    log = answer_log(secured, 3, "LOGIN", "SASL_PLAINTEXT", sasl_username="guest")
    with pytest.raises(UnreachableError, match="may not Write with the transactional id test-3; give it that right"):
        await log.fence()
