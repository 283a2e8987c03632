"""The AsyncAPI 3.0 document: the topics, what is on them, and what the gateway does with each.

Written from the gateway's side: it receives commands and sends the rest. `generate` writes it beside the JSON Schemas.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from schemas.codec import JSON, MSGPACK, encode
from schemas.examples import changes, commands, dispositions, policy_records, rejections
from schemas.headers import (
    COMMAND_OFFSET,
    COMMAND_PARTITION,
    CONTENT_TYPE,
    ERROR_FIELDS,
    ERROR_PREFIX,
    GROUP,
    TRACEPARENT,
)
from schemas.topics import CLEANUP, PARTITIONS, REPLICAS, Topics

VERSION = "1.0.0"
BINDING_VERSION = "0.5.0"

_KEY = {
    "type": "string",
    "description": "`<venue>:<account>`: what keeps one account of one venue on one partition.",
    "examples": ["binance_usdm:desk-1"],
}
_STATE_KEY = {
    "type": "string",
    "description": "`<venue>:<account>:<lane>`: one record a lane outlives compaction.",
    "examples": ["binance_usdm:desk-1:BTCUSDT"],
}
_POLICY_KEY = {
    "type": "string",
    "description": "`policy`, `candidate`, or `freeze:<scope>`: one record of each outlives compaction.",
    "examples": ["freeze:venue=okx&account=desk-1"],
}
_LETTER_KEY = {
    "type": "string",
    "description": "`<partition>:<offset>` of the letter on the dead-letter topic.",
    "examples": ["3:1042"],
}
_CONTENT_TYPE = {
    "type": "string",
    "enum": [JSON, MSGPACK],
    "default": JSON,
    "description": "The encoding of the value; an answer has its command's.",
}
_GROUP = {"type": "string", "description": "The consumer group of the gateway that answered."}
_TRACEPARENT = {"type": "string", "description": "W3C Trace Context; passed on from the command to its event."}
_PLACE = {
    COMMAND_PARTITION: {"type": "string", "pattern": "^[0-9]+$", "description": "The command record's partition."},
    COMMAND_OFFSET: {"type": "string", "pattern": "^[0-9]+$", "description": "The command record's offset."},
}
_ERRORS = {
    "topic": "Where the command stood.",
    "partition": "Where the command stood.",
    "offset": "Where the command stood.",
    "timestamp": "The command record's time; empty where it had none.",
    "stage": "The part of the gateway that gave up.",
    "reason": "Why, in one word: a reason of LeverageRejected, or `undecodable`.",
    "message": "Why, for people.",
    "attempts": "Calls made to the venue.",
    "failed_at": "When.",
    "group": "The consumer group.",
}


def document(components: dict[str, Any]) -> dict[str, Any]:
    """The whole document; `components` are the message schemas, their references made for `#/components/schemas`."""
    topics = Topics()
    channels = {"commands": topics.commands, "events": topics.events}
    channels |= {"state": topics.state, "dead_letters": topics.dead_letters}
    channels |= {"dispositions": topics.dispositions, "policy": topics.policy}
    return {
        "asyncapi": "3.0.0",
        "id": "urn:leverage-gateway:v1",
        "info": {
            "title": "Leverage gateway",
            "version": VERSION,
            "description": "Commands in, exactly one answer each out: it sets leverage at exchanges. What belongs to a "
            "command on one partition is written to the same partition of the other topics.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": JSON,
        "channels": {name: _channel(name, address) for name, address in channels.items()},
        "operations": _operations(),
        "components": {"messages": _messages(), "schemas": components},
    }


_CHANNELS = {
    "commands": (
        ["SetLeverage"],
        "Commands, on the partition that murmur2 of the key gives (librdkafka: `partitioner=murmur2_random`).",
    ),
    "events": (["LeverageChanged", "LeverageRejected"], "Answers; read them with `isolation.level=read_committed`."),
    "state": (["LaneState"], "The last LeverageChanged of each lane."),
    "dead_letters": (["DeadLetter"], "Commands to look at, byte for byte, with the reason in headers."),
    "dispositions": (
        ["DeadLetterDisposition"],
        "What was last done with each dead letter; the operators' tool writes it.",
    ),
    "policy": (["PolicyApplied", "Freeze"], "The caps that rule, those in shadow, and what is frozen; one partition."),
}


def _channel(name: str, address: str) -> dict[str, Any]:
    messages, description = _CHANNELS[name]
    return {
        "address": address,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"} for message in messages},
        "bindings": {
            "kafka": {
                "topic": address,
                "partitions": 1 if name == "policy" else PARTITIONS,
                "replicas": REPLICAS,
                "topicConfiguration": {"cleanup.policy": [CLEANUP[name]]},
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _operations() -> dict[str, Any]:
    group = {"type": "string", "default": "leverage-gateway", "description": "The setting `kafka.group_id`."}
    receive = _operation("receive", "commands", "Set the leverage of a lane and answer, once.")
    receive["bindings"] = {"kafka": {"groupId": group, "bindingVersion": BINDING_VERSION}}
    receive["reply"] = {"channel": {"$ref": "#/channels/events"}, "messages": _references("events")}
    return {
        "receiveCommands": receive,
        "sendEvents": _operation("send", "events", "The one answer to a command."),
        "sendState": _operation("send", "state", "What the venue now has, in one transaction with its event."),
        "sendDeadLetters": _operation(
            "send", "dead_letters", "Commands that nobody could read, or that need a person."
        ),
        "receivePolicy": _operation("receive", "policy", "Obey from then on; the command line writes it."),
    }


def _operation(action: str, channel: str, summary: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": _references(channel),
    }


def _references(channel: str) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/{channel}/messages/{message}"} for message in _CHANNELS[channel][0]]


def _messages() -> dict[str, Any]:
    described = {CONTENT_TYPE: _CONTENT_TYPE, TRACEPARENT: _TRACEPARENT}
    answer = described | _PLACE | {GROUP: _GROUP}
    changed = list(changes())
    records = list(policy_records())
    dead = _message("DeadLetter", _KEY, described | _PLACE | _error_headers(), [*_PLACE, *_error_headers()])
    dead |= {"payload": {"description": "The command record's bytes, untouched; they may be anything."}}
    return {
        "SetLeverage": _message("SetLeverage", _KEY, described, [], commands()),
        "LeverageChanged": _message("LeverageChanged", _KEY, answer, [CONTENT_TYPE, *_PLACE], changed),
        "LeverageRejected": _message("LeverageRejected", _KEY, answer, [CONTENT_TYPE, *_PLACE], rejections()),
        "LaneState": _message("LaneState", _STATE_KEY, answer, [CONTENT_TYPE, *_PLACE], changed[:1])
        | {"payload": {"$ref": "#/components/schemas/LeverageChanged"}},
        "DeadLetter": dead,
        "DeadLetterDisposition": _message("DeadLetterDisposition", _LETTER_KEY, {}, [], dispositions()),
        "PolicyApplied": _message("PolicyApplied", _POLICY_KEY, {}, [], records[:1]),
        "Freeze": _message("Freeze", _POLICY_KEY, {}, [], records[1:]),
    }


def _message(
    name: str,
    key: dict[str, Any],
    headers: dict[str, Any],
    required: Iterable[str],
    examples: Iterable[tuple[str, Any]] = (),
) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": name,
        "headers": {"type": "object", "properties": headers, "required": list(required)},
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "bindings": {"kafka": {"key": key, "bindingVersion": BINDING_VERSION}},
    }
    shown = [{"name": file_name, "payload": msgspec.json.decode(encode(example))} for file_name, example in examples]
    return message | ({"examples": shown} if shown else {})


def _error_headers() -> dict[str, Any]:
    return {ERROR_PREFIX + name: {"type": "string", "description": _ERRORS[name]} for name in ERROR_FIELDS}
