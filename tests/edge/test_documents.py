"""The documents say what is written and read: every frame is one of theirs, and the files are those of the code."""

from typing import get_args

import msgspec
import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from gateway.edge import frames as f
from gateway.edge.documents import GENERATED, asyncapi, files, main, openapi
from schemas import encode
from tests.edge.rig import changed, command

EVENT = msgspec.Raw(encode(changed(1)))
LIMITS = f.Limits(
    max_frame_bytes=1, max_subscriptions=1, max_rate_per_token=1, max_unread_bytes=1, max_unread_seconds=1.0
)
FRAMES = [
    f.Hello(limits=LIMITS, heartbeat_seconds=5.0),
    f.Snapshot(id="s", lanes=[EVENT], more=False),
    f.Live(id="s", position="p", resumed=True),
    f.EventFrame(id="s", event=EVENT, position="p"),
    f.EventFrame(ref="r", event=EVENT),
    f.StateFrame(id="s", event=EVENT, position="p"),
    f.Heartbeat(position=None, lag_ms=3),
    f.Result(ref="r", accepted="c"),
    f.Result(ref="r", error=f.Problem(code="invalid", message="no")),
    f.ErrorFrame(id="s", code="forbidden", message="no"),
    f.Notice(reason="stops", reconnect_within_seconds=10.0),
    f.Subscribe(id="s", mode="events", accounts=("desk-1",), resume="p", max_delay_ms=5),
    f.Unsubscribe(id="s"),
    f.CommandFrame(ref="r", command=msgspec.Raw(msgspec.json.encode(command()))),
]


def validator(document, name):
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]})


def written(frame):
    return msgspec.json.decode(msgspec.json.encode(frame))


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: type(frame).__name__)
def test_every_frame_is_as_the_document_says(frame):
    check = validator(asyncapi(), type(frame).__name__)
    check.validate(written(frame))
    with pytest.raises(ValidationError):
        check.validate(written(frame) | {"type": "something else"})


def test_every_kind_of_frame_is_in_the_document_and_was_tried():
    kinds = {kind.__name__ for kind in (*get_args(f.ClientFrame), *get_args(f.ServerFrame))}
    assert {type(frame).__name__ for frame in FRAMES} == kinds
    assert set(asyncapi()["channels"]["stream"]["messages"]) == kinds


def test_every_reference_leads_somewhere():
    for document in (openapi(), asyncapi()):
        for reference in references(document):
            place = document
            for part in reference.removeprefix("#/").split("/"):
                place = place[part.replace("~1", "/")]


def references(part):
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    if isinstance(part, list):
        for value in part:
            yield from references(value)


def test_the_kept_documents_are_those_of_the_code(tmp_path, capsys):
    assert main(["--check"]) == 0, "run `make schemas`"
    assert main([], tmp_path) == 0
    assert {file.name: file.read_bytes() for file in GENERATED.iterdir()} == files()
    (tmp_path / "openapi.json").write_text("{}")
    assert main(["--check"], tmp_path) == 1
    assert "openapi.json differs" in capsys.readouterr().err
