"""OpenAPI 3.1 and AsyncAPI 3.0 of the edge, made of the Structs that it reads and writes; served, and kept beside this.

`python -m gateway.edge.documents` writes `generated/`, `--check` compares and exits 1 where anything differs.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast, get_args

import msgspec
from msgspec import Raw, Struct

from gateway.edge.frames import ClientFrame, Problem, ServerFrame
from schemas import LeverageChanged, LeverageRejected, SetLeverage, Timestamp
from schemas.codec import JSON, MSGPACK
from schemas.targets import VENUES

GENERATED = Path(__file__).parent / "generated"
VERSION = "1.0.0"
MESSAGES = (SetLeverage, LeverageChanged, LeverageRejected)
LICENCE = {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}
_EVENT = {
    "oneOf": [{"$ref": "#/components/schemas/LeverageChanged"}, {"$ref": "#/components/schemas/LeverageRejected"}]
}
_CHANGED = {"$ref": "#/components/schemas/LeverageChanged"}
_COMMAND = {"$ref": "#/components/schemas/SetLeverage"}
# What goes through as it is: the Structs hold bytes there.
_WITHIN: dict[str, dict[str, Any]] = {
    "Snapshot": {"lanes": {"type": "array", "items": _CHANGED}},
    "EventFrame": {"event": _EVENT},
    "StateFrame": {"event": _CHANGED},
    "CommandFrame": {"command": _COMMAND},
}
_CODES = {
    "400": "A parameter or a body that cannot be meant.",
    "401": "No token, or one that is not known.",
    "403": "A foreign origin, or the token is not for that verb or account.",
    "413": "The body is too large.",
    "415": "The body is neither JSON nor MessagePack.",
    "422": "A command breaks a rule; `code` is the reason, `message` the gateway's words. Nothing is published.",
    "426": "A WebSocket begins with an upgrade.",
    "429": "The token is used too often, or has too many streams.",
    "503": "The state is being read, the instance goes away, or Kafka did not confirm; come back.",
}


def openapi() -> dict[str, Any]:
    """What is asked over HTTP."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Leverage gateway: the edge", "version": VERSION, "license": LICENCE},
        "security": [{"token": []}],
        "paths": {
            "/v1/leverage": {"get": _leverage()},
            "/v1/commands": {"post": _commands()},
            "/v1/events": {"get": _events()},
            "/v1/stream": {"get": _stream()},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas((*MESSAGES, Problem)),
        },
    }


def asyncapi() -> dict[str, Any]:
    """What goes over a stream."""
    sent, received = _names(ServerFrame), _names(ClientFrame)
    channel = {
        "address": "/v1/stream",
        "description": "Subprotocols leverage.v1.json (text) and leverage.v1.msgpack (binary, the same fields). Close "
        "codes 4000 to 4499: come back; 4500 to 4999: do not; 4008: too slow, the reason is the last position.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in (*received, *sent)},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }
    return {
        "asyncapi": "3.0.0",
        "id": "urn:leverage-gateway:v1:edge",
        "info": {"title": "Leverage gateway: the stream of the edge", "version": VERSION, "license": LICENCE},
        "defaultContentType": JSON,
        "channels": {"stream": channel},
        "operations": {
            "receiveFrames": _operation("receive", "Ask for events, and hand commands in.", received),
            "sendFrames": _operation("send", "Snapshots, events, results and heartbeats.", sent),
        },
        "components": {
            "messages": {
                name: {"name": name, "payload": {"$ref": f"#/components/schemas/{name}"}} for name in (*received, *sent)
            },
            # OpenAPI's `discriminator` is another thing in AsyncAPI; the constants tell enough.
            "schemas": _without_discriminators(_schemas((*MESSAGES, *get_args(ClientFrame), *get_args(ServerFrame)))),
        },
    }


def _leverage() -> dict[str, Any]:
    lanes = {"type": "array", "items": _CHANGED}
    return {
        "operationId": "getLeverage",
        "summary": "Every lane's last change, as it is exactly at the position.",
        "parameters": [_query("venue", {"enum": list(VENUES)}), _query("account"), _query("lane")],
        "responses": {
            "200": _json("The lanes that were asked for.", _object(position={"type": "string"}, lanes=lanes)),
            **_refusals("400", "401", "403", "429", "503"),
        },
    }


def _commands() -> dict[str, Any]:
    one_or_more = {"oneOf": [_COMMAND, {"type": "array", "items": _COMMAND, "minItems": 1}]}
    ids = {"type": "array", "items": {"type": "string"}}
    events = {"type": "array", "items": _EVENT}
    key = {"in": "header", "name": "Idempotency-Key", "schema": {"type": "string", "minLength": 1, "maxLength": 64}}
    wait = {"in": "query", "name": "wait", "schema": {"type": "number", "exclusiveMinimum": 0}}
    return {
        "operationId": "sendCommands",
        "summary": "Hand one command in, or a list that is taken or refused as a whole.",
        "parameters": [
            key | {"description": "The id of the one command, where its body has none."},
            wait | {"description": "Seconds to wait for the events."},
        ],
        "requestBody": {"required": True, "content": {kind: {"schema": one_or_more} for kind in (JSON, MSGPACK)}},
        "responses": {
            "200": _json("All events came in time.", _object(accepted=ids, events=events)),
            "202": _json("Kafka has the commands.", _object(accepted=ids)),
            **_refusals("400", "401", "403", "413", "415", "422", "429", "503"),
        },
    }


def _events() -> dict[str, Any]:
    several = [_query("venue", {"enum": list(VENUES)}), _query("account"), _query("lane"), _query("issuer")]
    header = {"in": "header", "name": "Last-Event-ID", "schema": {"type": "string"}}
    return {
        "operationId": "getEvents",
        "summary": "The stream as server-sent events: `event` is a frame's type, `data` the frame, `id` its position.",
        "parameters": [
            *several,
            {"in": "query", "name": "mode", "schema": {"enum": ["events", "state"], "default": "events"}},
            {"in": "query", "name": "max_delay_ms", "schema": {"type": "integer", "minimum": 0, "maximum": 60_000}},
            {"in": "query", "name": "resume", "schema": {"type": "string"}},
            header | {"description": "A position to go on from; goes before `resume`."},
        ],
        "responses": {
            "200": {
                "description": "Frames without end.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            **_refusals("400", "401", "403", "429", "503"),
        },
    }


def _stream() -> dict[str, Any]:
    return {
        "operationId": "openStream",
        "summary": "A WebSocket; its frames are in /asyncapi.json.",
        "responses": {
            "101": {"description": "The stream begins."},
            **_refusals("400", "401", "403", "426", "429", "503"),
        },
    }


def _query(name: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    items = {"type": "string", **(schema or {})}
    return {"in": "query", "name": name, "explode": True, "schema": {"type": "array", "items": items}}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _refusals(*statuses: str) -> dict[str, Any]:
    problem = {"$ref": "#/components/schemas/Problem"}
    return {status: _json(_CODES[status], problem) for status in statuses}


def _operation(action: str, summary: str, messages: Iterable[str]) -> dict[str, Any]:
    references = [{"$ref": f"#/channels/stream/messages/{name}"} for name in messages]
    return {"action": action, "channel": {"$ref": "#/channels/stream"}, "summary": summary, "messages": references}


def _names(union: Any) -> list[str]:
    return [kind.__name__ for kind in get_args(union)]


def _schemas(kinds: Iterable[type[Struct]]) -> dict[str, Any]:
    _, made = msgspec.json.schema_components(
        tuple(kinds), schema_hook=_of_others, ref_template="#/components/schemas/{name}"
    )
    for name, fields in _WITHIN.items():
        for field, schema in fields.items() if name in made else ():
            described = {key: value for key, value in made[name]["properties"][field].items() if key == "description"}
            made[name]["properties"][field] = described | schema
    made["SetLeverage"]["properties"]["leverage"]["type"] = ["string", "number"]
    return made


def _without_discriminators(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_discriminators(item) for item in cast("list[Any]", schema)]
    if isinstance(schema, dict):
        members = cast("dict[str, Any]", schema).items()
        return {name: _without_discriminators(value) for name, value in members if name != "discriminator"}
    return schema


def _of_others(kind: type) -> dict[str, Any]:
    if kind is Timestamp:
        return {"type": "string", "format": "date-time"}
    if kind is Raw:
        return {}
    raise NotImplementedError(f"no schema for {kind}")


def files() -> dict[str, bytes]:
    """Every generated file by its name."""
    made = {"openapi.json": openapi(), "asyncapi.json": asyncapi()}
    return {name: (json.dumps(document, indent=2) + "\n").encode() for name, document in made.items()}


def main(arguments: list[str] | None = None, root: Path = GENERATED) -> int:
    """Write or compare the files below `root`; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gateway.edge.documents", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 where anything differs")
    is_check = parser.parse_args(arguments).check
    different = [
        name for name, text in files().items() if not (root / name).exists() or (root / name).read_bytes() != text
    ]
    if is_check:
        sys.stderr.writelines(f"{root / name} differs: run `make schemas`\n" for name in different)
        return 1 if different else 0
    root.mkdir(exist_ok=True)
    for name, text in files().items():
        (root / name).write_bytes(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
