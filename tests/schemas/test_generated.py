"""What is generated agrees with the messages, with itself, and with the standards it claims to follow."""

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from gateway.settings.tree import KafkaSettings
from schemas import Reason, SetLeverage, decode_command, decode_event, encode
from schemas.codec import JSON, MSGPACK, ContentType
from schemas.examples import messages
from schemas.generate import GENERATED, MESSAGES, main
from schemas.targets import Target
from schemas.topics import PARTITIONS, REPLICAS

ASYNCAPI_SCHEMA = Path(__file__).parent / "asyncapi-3.0.0.schema.json"
GOLDEN = sorted((GENERATED / "examples").iterdir())
ASYNCAPI: dict[str, Any] = json.loads((GENERATED / "asyncapi.json").read_bytes())


def schema_of(name: str) -> dict[str, Any]:
    return json.loads((GENERATED / "json-schema" / f"{name}.schema.json").read_bytes())


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema_of(name), format_checker=Draft202012Validator.FORMAT_CHECKER)


def type_of(path: Path) -> str:
    return "".join(word.capitalize() for word in path.name.split(".")[0].split("-"))


def test_nothing_generated_was_edited_or_forgotten():
    assert main(["--check"]) == 0


def test_check_names_what_differs_is_missing_or_left_over(tmp_path, capsys):
    root = tmp_path / "generated"
    shutil.copytree(GENERATED, root)
    (root / "asyncapi.json").write_text("{}")
    (root / "examples" / "set-leverage.ztdx.json").unlink()
    (root / "examples" / "old.json").write_text("{}")
    assert main(["--check"], root) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" differs")[0].removeprefix(f"{root}/") for line in said] == [
        "asyncapi.json",
        "examples/old.json",
        "examples/set-leverage.ztdx.json",
    ]
    assert main([], root) == 0
    assert main(["--check"], root) == 0


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_golden_examples_decode_and_encode_to_the_same_bytes(path):
    content_type: ContentType = JSON if path.suffix == ".json" else MSGPACK
    decode = decode_command if path.name.startswith("set-leverage.") else decode_event
    message = decode(path.read_bytes(), content_type)
    assert message == dict(messages())[path.name.removesuffix(path.suffix)]
    assert encode(message, content_type) == path.read_bytes()


@pytest.mark.parametrize("path", [path for path in GOLDEN if path.suffix == ".json"], ids=lambda path: path.name)
def test_golden_examples_fit_the_json_schemas(path):
    validator(type_of(path)).validate(json.loads(path.read_bytes()))


def test_the_examples_show_every_target_and_every_reason():
    shown = [message for _, message in messages()]
    assert {type(message.target) for message in shown} == set(get_args(Target))
    assert {getattr(message, "reason", None) for message in shown} - {None} == set(get_args(Reason))


def test_okx_examples_show_every_level_and_side():
    lanes = {message.target.lane for _, message in messages() if isinstance(message, SetLeverage)}
    assert lanes >= {
        "isolated.pair.BTC-USDT",
        "cross.currency.BTC",
        "cross.underlying.BTC-USD",
        "isolated.contract.BTC-USD-200802.long",
    }


@pytest.mark.parametrize("name", [message.__name__ for message in MESSAGES])
def test_json_schemas_are_draft_2020_12_and_describe_every_field(name):
    schema = schema_of(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:leverage-gateway:v1:{name}"
    assert schema["description"]
    assert schema["examples"]
    undescribed = [field for field, told in schema["properties"].items() if "description" not in told]
    assert undescribed == ["type"]


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"leverage": 20}, True),
        ({"leverage": 2.5}, True),
        ({"unknown": {"anything": [1]}}, True),
        ({"leverage": "twenty"}, False),
        ({"leverage": True}, False),
        ({"issued_at": "yesterday"}, False),
        ({"issued_at": "2026-11-21T08:00:00"}, False),
        ({"account": "desk 1"}, False),
        ({"account": "desk-1\n"}, False),
        ({"command_id": ""}, False),
        ({"target": {"venue": "nowhere"}}, False),
        ({"target": {"venue": "ztdx"}}, False),
        ({"target": {"venue": "ztdx", "symbol": "BTC USDT"}}, False),
        ({"target": {"venue": "ztdx", "symbol": "测试USDT"}}, True),
        ({"type": "LeverageChanged"}, False),
    ],
)
def test_the_command_schema_says_what_the_decoder_does(change, fits):
    command = json.loads((GENERATED / "examples" / "set-leverage.binance-usdm.json").read_bytes()) | change
    assert validator("SetLeverage").is_valid(command) is fits
    decodes = True
    try:
        decode_command(msgspec.json.encode(command))
    except ValueError:
        decodes = False
    assert decodes is fits


def test_the_asyncapi_document_fits_asyncapi_3_0_0():
    schema = json.loads(ASYNCAPI_SCHEMA.read_bytes())
    checked = Draft7Validator(schema, format_checker=Draft7Validator.FORMAT_CHECKER)
    assert [f"{error.json_path}: {error.message[:200]}" for error in checked.iter_errors(ASYNCAPI)] == []


def test_every_reference_of_the_asyncapi_document_leads_somewhere():
    def references(node: Any) -> list[str]:
        if isinstance(node, list):
            return [found for item in node for found in references(item)]
        if not isinstance(node, dict):
            return []
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for value in node.values() for found in references(value)]

    for reference in set(references(ASYNCAPI)):
        node = ASYNCAPI
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_the_asyncapi_document_names_the_topics_with_the_defaults_of_the_settings():
    kafka = KafkaSettings()
    assert (kafka.partitions, kafka.replicas) == (PARTITIONS, REPLICAS)
    told = {name: channel["bindings"]["kafka"] for name, channel in ASYNCAPI["channels"].items()}
    assert {name: binding["topic"] for name, binding in told.items()} == {
        "commands": kafka.topics.commands,
        "events": kafka.topics.events,
        "state": kafka.topics.state,
        "dead_letters": kafka.topics.dead_letters,
        "dispositions": kafka.topics.dispositions,
        "policy": kafka.topics.policy,
    }
    assert told.pop("policy")["partitions"] == 1
    assert {binding["partitions"] for binding in told.values()} == {kafka.partitions}
    for compacted in ("state", "dispositions"):
        assert told[compacted]["topicConfiguration"] == {"cleanup.policy": ["compact"]}


def test_the_asyncapi_document_tells_keys_headers_and_directions():
    messages = ASYNCAPI["components"]["messages"]
    assert all("key" in message["bindings"]["kafka"] for message in messages.values())
    assert {"gateway-command-partition", "gateway-command-offset"} <= set(
        messages["LeverageChanged"]["headers"]["required"]
    )
    assert "__gateway.errors.failed_at" in messages["DeadLetter"]["headers"]["properties"]
    assert {name: operation["action"] for name, operation in ASYNCAPI["operations"].items()} == {
        "receiveCommands": "receive",
        "sendEvents": "send",
        "sendState": "send",
        "sendDeadLetters": "send",
        "receivePolicy": "receive",
    }


def test_the_asyncapi_examples_fit_their_payload_schemas():
    for message in ASYNCAPI["components"]["messages"].values():
        payload = {"$ref": message["payload"].get("$ref", "#"), "components": ASYNCAPI["components"]}
        for example in message.get("examples", []):
            Draft7Validator(payload).validate(example["payload"])
