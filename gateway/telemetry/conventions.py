"""What spans and their attributes are called: OpenTelemetry's semantic conventions, 1.44, and a few names of our own.

Those for messaging are in development and will move; nothing else spells them.
"""

from typing import Literal

from gateway.calls.observer import Called
from gateway.outcomes import Ambiguous, KeyRejection, Throttled, Unavailable
from gateway.pipeline.command import Command
from schemas import Event, LeverageChanged

Attributes = dict[str, str | int]
Operation = Literal["receive", "process", "settle"]

LANE_WAIT, PERMIT_WAIT, SIGN = "wait in lane", "wait for permit", "sign"

_TYPES: dict[Operation, str] = {"receive": "receive", "process": "process", "settle": "send"}


def messaging(operation: Operation, topic: str, command: Command) -> tuple[str, Attributes]:
    """The name and the attributes of a span about a record of a topic."""
    return f"{operation} {topic}", {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": _TYPES[operation],
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": str(command.record.partition),
    }


def command_attributes(command: Command, event: Event, group: str) -> Attributes:
    """Which command it was, and what became of it; no text of a venue's, which might hold anything."""
    return {
        "messaging.consumer.group.name": group,
        "messaging.kafka.offset": command.offset,
        "messaging.message.id": command.command.command_id,
        "leverage.venue": command.venue,
        "leverage.account": command.command.account,
        "leverage.lane": command.lane[2],
        "leverage.outcome": "changed" if isinstance(event, LeverageChanged) else event.reason,
        "leverage.attempts": event.attempts,
    }


def http(fact: Called) -> tuple[str, Attributes]:
    """The name and the attributes of a call: its path without query, which has no key and no signature."""
    attributes: Attributes = {
        "http.request.method": fact.call.method,
        "url.template": fact.call.path,
        "leverage.venue": fact.venue,
        "leverage.account": fact.account,
        "leverage.purpose": fact.call.purpose,
    }
    if fact.status is not None:
        attributes["http.response.status_code"] = fact.status
    return f"{fact.call.method} {fact.call.path}", attributes


def error_of(fact: Called) -> str | None:
    """What went wrong with a call, in one word; None where it was answered, be it with a no."""
    match fact.outcome:
        case Ambiguous():
            return "no_answer"
        case Unavailable():
            return "unavailable"
        case Throttled():
            return "throttled"
        case KeyRejection():
            return "unauthorised"
        case _:
            return None
