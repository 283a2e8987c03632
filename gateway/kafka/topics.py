"""The six topics at the broker: made as the settings say, or compared with them.

`topics create` and `topics check` come here, and `run` may ask before it starts. Nothing that exists is changed.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    for_code,
)
from msgspec import Struct

from gateway.kafka.bootstrap import reachable
from gateway.kafka.connection import client_options, unreachable
from gateway.kafka_clients import start_client, stop_client
from gateway.settings.tree import KafkaSettings, Settings
from schemas.topics import CLEANUP

DEADLINE = 30.0
LOOK_AGAIN = 0.05  # seconds between two looks at new topics
# A dead letter is the command's record and what was wrong with it, so it must fit where the command just did.
ERROR_HEADERS_BYTES = 64 * 1024
MAX_COMMAND_BYTES = 1_048_588  # the broker's own default
MAX_DEAD_LETTER_BYTES = 2 * MAX_COMMAND_BYTES
POLICY_KEPT_MS = 90 * 86_400_000  # `policy log` shows at least so much; then only the last of each key is sure to stay
NOT_SEEN = "is not there, or this user may not see it (Describe)"
_WATCHED = ("cleanup.policy", "min.insync.replicas", "max.message.bytes", "retention.ms", "message.timestamp.type")


class TopicMade(Struct, frozen=True, kw_only=True):
    """One topic that `topics create` made, or found there."""

    topic: str
    role: str
    result: Literal["created", "exists"]
    partitions: int


class TopicProblem(Struct, frozen=True, kw_only=True):
    """One thing about a topic that is not as it should be, and what would be right.

    `is_fatal`: a promise hangs on it, and no gateway starts with it.
    """

    topic: str
    role: str
    problem: str
    missing: bool = False
    is_fatal: bool = False


def unmet(problems: Sequence[TopicProblem]) -> KafkaError | None:
    """The error that says why no gateway starts with these; None where one does."""
    missing = [problem.topic for problem in problems if problem.missing and problem.is_fatal]
    if missing:
        return KafkaError(f"{', '.join(missing)} {NOT_SEEN}; `leverage-gateway topics create` makes what is missing")
    fatal = [f"{problem.topic} {problem.problem}" for problem in problems if problem.is_fatal]
    return KafkaError("; ".join(fatal)) if fatal else None


class _Description(Struct, frozen=True, kw_only=True):
    partitions: int
    replicas: int
    brokers: int
    configs: dict[str, str] | None  # None: this broker does not tell
    is_hidden: bool  # from this user, by the broker's rules


def wanted_configs(role: str, replicas: int) -> dict[str, str]:
    """The topic settings that a role needs; one replica may be missing wherever there are three or more."""
    configs = {"cleanup.policy": CLEANUP[role], "min.insync.replicas": str(max(1, replicas - 1))}
    if role == "commands":
        configs["max.message.bytes"] = str(MAX_COMMAND_BYTES)
    if role == "dead_letters":
        configs["max.message.bytes"] = str(MAX_DEAD_LETTER_BYTES)
    if role == "policy":  # the broker's time, which no writer chooses, tells how old a signature is
        configs |= {"message.timestamp.type": "LogAppendTime", "min.compaction.lag.ms": str(POLICY_KEPT_MS)}
    return configs


def wanted_partitions(role: str, partitions: int) -> int:
    """The policy is one log, in one order; all others go with the commands."""
    return 1 if role == "policy" else partitions


async def create_topics(settings: Settings, *, base_dir: Path) -> list[TopicMade]:
    """Make those of the six topics that are not there, and see them; UnreachableError where the broker refuses."""
    kafka = settings.kafka
    names: dict[str, str] = msgspec.structs.asdict(kafka.topics)
    async with _admin(kafka, base_dir) as admin:
        new = [
            NewTopic(
                name,
                wanted_partitions(role, kafka.partitions),
                kafka.replicas,
                topic_configs=wanted_configs(role, kafka.replicas),
            )
            for role, name in names.items()
        ]
        answer: Any = await admin.create_topics(new)
        failed = {topic: for_code(code)(message) for topic, code, message in answer.topic_errors if code}
        for error in failed.values():
            if not isinstance(error, TopicAlreadyExistsError):
                raise error
        await _until_seen(admin, set(names.values()))
    return [
        TopicMade(
            topic=name,
            role=role,
            result="exists" if name in failed else "created",
            partitions=wanted_partitions(role, kafka.partitions),
        )
        for role, name in names.items()
    ]


async def check_topics(
    settings: Settings, *, base_dir: Path, options: dict[str, Any] | None = None
) -> list[TopicProblem]:
    """Compare the six topics with the settings; empty where all is right, UnreachableError where the broker is not.

    Args:
        settings: what the topics should be.
        base_dir: where relative file names start.
        options: how to connect, where that is known already.
    """
    names: dict[str, str] = msgspec.structs.asdict(settings.kafka.topics)
    async with _admin(settings.kafka, base_dir, options) as admin:
        found = await _find(admin, list(names.values()))
    seen = {role: found[name] for role, name in names.items() if name in found}
    return [
        TopicProblem(topic=name, role=role, problem=wrong.text, missing=name not in found, is_fatal=wrong.is_fatal)
        for role, name in names.items()
        for wrong in _wrong(role, seen, settings)
    ]


class _Wrong(NamedTuple):
    text: str
    is_fatal: bool = False


def _wrong(role: str, seen: Mapping[str, _Description], settings: Settings) -> list[_Wrong]:
    found, kafka = seen.get(role), settings.kafka
    is_needed = role not in {"dispositions", "policy"}  # the dead-letter tool's, and what a setting decides about
    if found is None:
        return [_Wrong(f"{NOT_SEEN}; `leverage-gateway topics create` makes it", is_fatal=is_needed)]
    wrong: list[_Wrong] = []
    if role == "policy" and found.partitions != 1:
        wrong.append(_Wrong(f"has {found.partitions} partitions; it needs one, and only the first is read"))
    elif role != "policy" and found.partitions != kafka.partitions:
        is_alone = len({one.partitions for name, one in seen.items() if name != "policy"}) > 1
        both = f"has {found.partitions} partitions; kafka.partitions is {kafka.partitions}"
        text = f"{both}, for all topics but the policy"
        wrong.append(
            _Wrong(f"{text}; never grow them: make new topics" if is_alone else text, is_fatal=is_alone and is_needed)
        )
    if found.replicas < kafka.replicas:
        wrong.append(_Wrong(f"has {found.replicas} replicas; kafka.replicas is {kafka.replicas}"))
    elif found.replicas == 1 and found.brokers > 1:
        text = f"has one replica, where {found.brokers} brokers are: it is lost with that one's disk"
        wrong.append(_Wrong(f"{text}; set kafka.replicas, and make the topic anew or reassign its partitions"))
    if found.is_hidden:
        text = "may not be looked at: this user lacks DescribeConfigs on it, so its settings are not checked"
        wrong.append(_Wrong(text))
    elif found.configs is not None:
        wrong += _wrong_configs(role, found.configs, wanted_configs(role, kafka.replicas))
        wrong += _wrong_retention(role, seen, settings.pipeline.repeat_window_age)
    return wrong


def _wrong_configs(role: str, found: dict[str, str], wanted: dict[str, str]) -> list[_Wrong]:
    wrong: list[_Wrong] = []
    for config, value in wanted.items():
        is_value = found.get(config, "")
        if config == "cleanup.policy" and is_value != value:
            wrong.append(_Wrong(f"has {config}={is_value}; it must be {value}", is_fatal=True))
        if config == "min.insync.replicas" and int(is_value or 0) < int(value):
            wrong.append(_Wrong(f"has {config}={is_value}; it must be at least {value}"))
        if config == "max.message.bytes" and role == "dead_letters" and int(is_value or 0) < int(value):
            text = f"has {config}={is_value}; it must be at least {value}, for a command and what was wrong with it"
            wrong.append(_Wrong(text))
        if config == "message.timestamp.type" and is_value != value:
            wrong.append(_Wrong(f"has {config}={is_value}; it must be {value}, to tell how old a signature is"))
    return wrong


def _wrong_retention(role: str, seen: Mapping[str, _Description], repeat_window_age: float) -> list[_Wrong]:
    """The events are the ledger: an answer that is forgotten before its command may be given again."""
    if role != "events":
        return []
    ours, commands = _retention_ms(seen.get("events")), _retention_ms(seen.get("commands"))
    if ours < commands:
        return [_Wrong(f"has retention.ms={ours:.0f}; it must be at least that of the commands, {commands:.0f}")]
    if ours < repeat_window_age * 1000:
        return [_Wrong(f"has retention.ms={ours:.0f}; pipeline.repeat_window_age is {repeat_window_age:g} s")]
    return []


def _retention_ms(found: _Description | None) -> float:
    """For how long a topic keeps its records; for ever where it says -1, or nobody tells."""
    value = "-1" if found is None or found.configs is None else found.configs.get("retention.ms", "-1")
    return float("inf") if value in ("-1", "") else float(value)


async def _until_seen(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    """Wait until the broker shows the topics with leaders: it answers before its metadata has them."""
    while True:
        described: list[dict[str, Any]] = await admin.describe_topics()
        led = {
            topic["topic"]
            for topic in described
            if topic["partitions"] and all(partition["leader"] >= 0 for partition in topic["partitions"])
        }
        if names <= led:
            return
        await asyncio.sleep(LOOK_AGAIN)


async def _find(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, _Description]:
    described: list[dict[str, Any]] = await admin.describe_topics()  # all of them: asking for one may create it
    cluster: dict[str, Any] = await admin.describe_cluster()
    there = {topic["topic"]: topic["partitions"] for topic in described if topic["topic"] in names}
    try:
        configs = await _configs(admin, list(there))
    except IncompatibleBrokerVersion:  # librdkafka's mock cluster has no DescribeConfigs
        configs = None
    return {
        name: _Description(
            partitions=len(partitions),
            brokers=len(cluster["brokers"]),
            replicas=min((len(partition["replicas"]) for partition in partitions), default=0),
            configs=None if configs is None else configs.get(name),
            is_hidden=configs is not None and name not in configs,
        )
        for name, partitions in there.items()
    }


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    wanted = [ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(_WATCHED, "")) for name in names]
    found: dict[str, dict[str, str]] = {}
    answers: list[Any] = await admin.describe_configs(wanted)
    for answer in answers:
        for error_code, error_message, _kind, name, entries in answer.resources:
            if error_code == TopicAuthorizationFailedError.errno:
                continue  # only a warning hangs on it
            if error_code:
                raise for_code(error_code)(error_message)
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


@asynccontextmanager
async def _admin(
    kafka: KafkaSettings, base_dir: Path, options: dict[str, Any] | None = None
) -> AsyncGenerator[AIOKafkaAdminClient]:
    """A connected admin client; what goes wrong with the broker inside is UnreachableError."""
    admin = AIOKafkaAdminClient(**options or await reachable(kafka, client_options(kafka, base_dir)))
    try:
        async with asyncio.timeout(DEADLINE):
            await start_client(admin)
            yield admin
    except (KafkaError, OSError) as error:  # TimeoutError is an OSError
        raise unreachable(kafka, error) from error
    finally:
        await stop_client(admin)
