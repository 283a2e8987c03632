"""An answer tells which command it is of by more than its offset, in each form that it can have."""

import pytest
from msgspec import structs

from gateway.outcomes import Refusal
from gateway.ownership.fingerprint import fingerprint, is_of
from gateway.pipeline.answers import of_refusal, out_records
from schemas.codec import JSON, MSGPACK
from schemas.headers import ERROR_PREFIX
from tests.kit.bench import command, incoming, record
from tests.kit.clocks import NOON

REFUSAL = Refusal(reason="unknown_account", message="nobody")


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize("content_type", [JSON, MSGPACK])
def test_event_and_letter_are_of_their_command_and_of_no_other_though_the_letter_is_cut(content_type, is_cut):
    mine, others = (record(command(number), number, encoding=content_type) for number in (7, 8))
    carried = structs.replace(incoming(7), record=mine, content_type=content_type)
    answer = of_refusal(carried, REFUSAL, topic="commands", now=NOON)
    for one in out_records(answer, topic="commands", group="gateways", is_cut=is_cut):
        said = fingerprint(one.value, one.headers)
        assert is_of(said, mine.value, mine.headers)
        assert not is_of(said, others.value, others.headers)


def test_what_a_command_says_of_itself_in_the_names_of_a_letter_changes_nothing():
    mine = record(command(7))
    forged = (*mine.headers, (f"{ERROR_PREFIX}value_sha256", b"0" * 64))
    assert is_of(fingerprint(mine.value, mine.headers), mine.value, forged)
