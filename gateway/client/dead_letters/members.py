# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# aiokafka ships no types.
"""Whether a gateway is there to answer: whether anybody is a member of its consumer group."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
)

from gateway.kafka_clients import start_client, stop_client

PATIENCE = 10.0  # seconds
ASK_AGAIN = 0.5  # seconds, while the coordinator is not there yet
NOT_YET = frozenset(
    {GroupLoadInProgressError.errno, GroupCoordinatorNotAvailableError.errno, NotCoordinatorForGroupError.errno}
)


async def has_members(kafka: Mapping[str, Any], group: str) -> bool:
    """Whether the group has a member; True too where this user may not know it."""
    admin = AIOKafkaAdminClient(**kafka)
    try:
        async with asyncio.timeout(PATIENCE):
            await start_client(admin)
            while (told := await _describe(admin, group)).errno in NOT_YET:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(ASK_AGAIN)
            return bool(told.errno) or told.has_members
    except (KafkaError, TimeoutError):
        return True
    finally:
        await stop_client(admin)


class _Told(NamedTuple):
    errno: int
    has_members: bool


async def _describe(admin: AIOKafkaAdminClient, group: str) -> _Told:
    try:
        described: list[Any] = await admin.describe_consumer_groups([group])
    except GroupCoordinatorNotAvailableError as error:
        return _Told(error.errno, has_members=False)
    errno, _, _, _, _, members, *_ = described[0].groups[0]
    return _Told(errno, has_members=bool(members))
