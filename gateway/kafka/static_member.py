# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportPrivateUsage=false
# pyright: reportIncompatibleMethodOverride=false, reportAssignmentType=false
# ruff: noqa: SLF001 - the coordinator has no public way to ask it anything
"""Whether another process has joined the group under our `group_instance_id`.

A broker lets whoever comes last have the id, and tells the one before that it is no member; it would join again and
take the id back, without end. The client library asks without its id, so it cannot be told; a heartbeat of version 3
can.
"""

import asyncio

from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.group import HeartbeatResponse_v1
from aiokafka.protocol.types import Int32, Schema, String

FENCED_INSTANCE_ID = 82  # the broker's code (KIP-345), which the client library does not know


class _StaticHeartbeatResponse(Response):
    API_KEY = 12
    API_VERSION = 3
    SCHEMA = HeartbeatResponse_v1.SCHEMA


class _StaticHeartbeatStruct(RequestStruct):
    API_KEY = 12
    API_VERSION = 3
    RESPONSE_TYPE = _StaticHeartbeatResponse
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
    )


class _StaticHeartbeat(Request[_StaticHeartbeatStruct]):
    API_KEY = 12

    def __init__(self, *fields: object) -> None:
        self._fields = fields

    def build(self, request_struct_class: type[_StaticHeartbeatStruct]) -> _StaticHeartbeatStruct:
        return request_struct_class(*self._fields)


async def is_replaced(
    coordinator: GroupCoordinator, identity: tuple[int, str], instance_id: str, *, patience: float
) -> bool:
    """Whether the id is another member's than `identity` (generation and member id); False where nobody says."""
    heartbeat = _StaticHeartbeat(coordinator.group_id, *identity, instance_id)
    try:
        async with asyncio.timeout(patience):
            answer = await coordinator._send_req(heartbeat)
    except (KafkaError, TimeoutError, NotImplementedError):
        return False
    return answer.error_code == FENCED_INSTANCE_ID
