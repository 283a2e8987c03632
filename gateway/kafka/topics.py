"""The four topics at the broker: made as the settings say, or compared with them.

`topics create` and `topics check` come here, and `run` may ask before it starts. Nothing that exists is changed.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

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
from gateway.settings.tree import KafkaSettings, Settings
from schemas.topics import CLEANUP

DEADLINE = 30.0
LOOK_AGAIN = 0.05  # seconds between two looks at new topics
# A dead letter is the command's record and what was wrong with it, so it must fit where the command just did.
ERROR_HEADERS_BYTES = 64 * 1024
MAX_COMMAND_BYTES = 1_048_588  # the broker's own default
MAX_DEAD_LETTER_BYTES = 2 * MAX_COMMAND_BYTES
NOT_SEEN = "is not there, or this user may not see it (Describe)"
_WATCHED = ("cleanup.policy", "min.insync.replicas", "max.message.bytes")


class TopicMade(Struct, frozen=True, kw_only=True):
    """One topic that `topics create` made, or found there."""

    topic: str
    role: str
    result: Literal["created", "exists"]
    partitions: int


class TopicProblem(Struct, frozen=True, kw_only=True):
    """One thing about a topic that breaks a promise, and what would be right."""

    topic: str
    role: str
    problem: str
    missing: bool = False


class _Found(Struct, frozen=True, kw_only=True):
    partitions: int
    replicas: int
    configs: dict[str, str] | None  # None: this broker does not tell
    is_hidden: bool  # from this user, by the broker's rules


def wanted_configs(role: str, replicas: int) -> dict[str, str]:
    """The topic settings that a role needs; one replica may be missing wherever there are three or more."""
    configs = {"cleanup.policy": CLEANUP[role], "min.insync.replicas": str(max(1, replicas - 1))}
    if role == "commands":
        configs["max.message.bytes"] = str(MAX_COMMAND_BYTES)
    if role == "dead_letters":
        configs["max.message.bytes"] = str(MAX_DEAD_LETTER_BYTES)
    return configs


async def create_topics(settings: Settings, *, base_dir: Path) -> list[TopicMade]:
    """Make those of the four topics that are not there, and see them; UnreachableError where the broker refuses."""
    kafka = settings.kafka
    names: dict[str, str] = msgspec.structs.asdict(kafka.topics)
    async with _admin(kafka, base_dir) as admin:
        new = [
            NewTopic(name, kafka.partitions, kafka.replicas, topic_configs=wanted_configs(role, kafka.replicas))
            for role, name in names.items()
        ]
        answer: Any = await admin.create_topics(new)
        failed = {topic: for_code(code)(message) for topic, code, message in answer.topic_errors if code}
        for error in failed.values():
            if not isinstance(error, TopicAlreadyExistsError):
                raise error
        await _until_seen(admin, set(names.values()))
    return [
        TopicMade(topic=name, role=role, result="exists" if name in failed else "created", partitions=kafka.partitions)
        for role, name in names.items()
    ]


async def check_topics(
    settings: Settings, *, base_dir: Path, options: dict[str, Any] | None = None
) -> list[TopicProblem]:
    """Compare the four topics with the settings; empty where all is right, UnreachableError where the broker is not.

    Args:
        settings: what the topics should be.
        base_dir: where relative file names start.
        options: how to connect, where that is known already.
    """
    names: dict[str, str] = msgspec.structs.asdict(settings.kafka.topics)
    async with _admin(settings.kafka, base_dir, options) as admin:
        found = await _find(admin, list(names.values()))
    problems: list[TopicProblem] = []
    for role, name in names.items():
        lines, missing = _wrong(role, found.get(name), settings.kafka), name not in found
        problems += [TopicProblem(topic=name, role=role, problem=line, missing=missing) for line in lines]
    return problems


def _wrong(role: str, found: _Found | None, kafka: KafkaSettings) -> list[str]:
    if found is None:
        return [f"{NOT_SEEN}; `leverage-gateway topics create` makes it"]
    wrong: list[str] = []
    if found.partitions != kafka.partitions:
        wrong.append(f"has {found.partitions} partitions; kafka.partitions is {kafka.partitions}, for all four topics")
    if found.replicas < kafka.replicas:
        wrong.append(f"has {found.replicas} replicas; kafka.replicas is {kafka.replicas}")
    if found.is_hidden:
        wrong.append("may not be looked at: this user lacks DescribeConfigs on it, so its settings are not checked")
    elif found.configs is not None:
        wrong += _wrong_configs(role, found.configs, wanted_configs(role, kafka.replicas))
    return wrong


def _wrong_configs(role: str, found: dict[str, str], wanted: dict[str, str]) -> list[str]:
    wrong: list[str] = []
    for config, value in wanted.items():
        is_value = found.get(config, "")
        if config == "cleanup.policy" and is_value != value:
            wrong.append(f"has {config}={is_value}; it must be {value}")
        if config == "min.insync.replicas" and int(is_value or 0) < int(value):
            wrong.append(f"has {config}={is_value}; it must be at least {value}")
        if config == "max.message.bytes" and role == "dead_letters" and int(is_value or 0) < int(value):
            wrong.append(
                f"has {config}={is_value}; it must be at least {value}, for a command and what was wrong with it"
            )
    return wrong


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


async def _find(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, _Found]:
    described: list[dict[str, Any]] = await admin.describe_topics()  # all of them: asking for one may create it
    there = {topic["topic"]: topic["partitions"] for topic in described if topic["topic"] in names}
    try:
        configs = await _configs(admin, list(there))
    except IncompatibleBrokerVersion:  # librdkafka's mock cluster has no DescribeConfigs
        configs = None
    return {
        name: _Found(
            partitions=len(partitions),
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
            await admin.start()
            yield admin
    except (KafkaError, OSError) as error:  # TimeoutError is an OSError
        raise unreachable(kafka, error) from error
    finally:
        await admin.close()
