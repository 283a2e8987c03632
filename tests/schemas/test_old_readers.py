"""Who was built with the schemas of the last release reads the events of this one."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from schemas import LeverageChanged, LeverageRejected, decode_event, encode
from schemas.codec import JSON, MSGPACK, read_timestamp
from schemas.examples import messages

NEW = {"policy_version", "policy_rules"}
DECODERS = {JSON: msgspec.json.decode, MSGPACK: msgspec.msgpack.decode}
EVENTS = [(name, message) for name, message in messages() if isinstance(message, LeverageChanged | LeverageRejected)]


def as_of_last_release(kind: type) -> Any:
    """The same Struct without the fields that came since."""
    fields = [
        (field.name, field.type) if field.required else (field.name, field.type, field.default)
        for field in msgspec.structs.fields(kind)
        if field.name not in NEW
    ]
    return msgspec.defstruct(kind.__name__, fields, frozen=True, kw_only=True, tag_field="type", tag=kind.__name__)


OLD = as_of_last_release(LeverageChanged) | as_of_last_release(LeverageRejected)


@pytest.mark.parametrize("encoding", [JSON, MSGPACK])
@pytest.mark.parametrize(("name", "event"), EVENTS, ids=[name for name, _ in EVENTS])
def test_old_readers_read_all_they_know_of_new_events(name, event, encoding):
    spoken = msgspec.structs.replace(event, policy_version="9f86d081884c", policy_rules=("majors.maximum", "freeze:x"))
    read = DECODERS[encoding](encode(spoken, encoding), type=OLD, dec_hook=read_timestamp)
    assert {field: getattr(read, field) for field in read.__struct_fields__} == {
        field: getattr(event, field) for field in read.__struct_fields__
    }


def test_where_no_policy_spoke_the_fields_are_not_there():
    for _, event in EVENTS:
        if event.policy_version is UNSET:
            assert not NEW & msgspec.json.decode(encode(event)).keys()


def test_what_a_policy_said_is_read_back():
    _, event = next((name, event) for name, event in EVENTS if event.policy_version is not UNSET)
    for encoding in (JSON, MSGPACK):
        assert decode_event(encode(event, encoding), encoding) == event
    assert event.policy_rules == ("majors.maximum",)
    assert event.leverage == Decimal(20)
