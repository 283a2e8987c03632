"""Records of the policy topic: their keys, their bytes, and what a signature covers."""

import pytest
from msgspec.structs import replace

from schemas import DecodeError, Freeze, PolicyApplied, Scope
from schemas.examples import policy_records
from schemas.policy import OperatorSignature, decode_policy_record, encode_policy_record, signature_bytes, signed_bytes

RECORDS = [record for _, record in policy_records()]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_records_are_read_as_they_were_written(record):
    assert decode_policy_record(encode_policy_record(record)) == record


@pytest.mark.parametrize(
    ("scope", "text"),
    [
        (Scope(), "everything"),
        (Scope(venue="okx"), "venue=okx"),
        (
            Scope(venue="okx", account="desk-1", lane="cross.*", issuer="m"),
            "venue=okx&account=desk-1&lane=cross.*&issuer=m",
        ),
    ],
)
def test_a_scope_has_one_text(scope, text):
    assert str(scope) == text


def test_keys_are_those_of_the_contract():
    freeze = next(record for record in RECORDS if isinstance(record, Freeze))
    applied = next(record for record in RECORDS if isinstance(record, PolicyApplied))
    assert freeze.key == "freeze:venue=okx&lane=cross.*"
    assert (applied.key, replace(applied, role="candidate").key) == ("policy", "candidate")
    assert applied.hash.startswith(applied.version)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_signatures_cover_everything_but_signatures(record):
    signed = replace(record, signatures=(OperatorSignature(operator="kim", signature="AAAA"),))
    assert signed_bytes(signed) == signed_bytes(record)
    for change in ({"id": "other"}, {"replaces": "other"}, {"operator": "lee"}):
        assert signed_bytes(replace(record, **change)) != signed_bytes(record)


@pytest.mark.parametrize("value", [b"", b"{}", b'{"type":"Freeze"}', b"[1]", b'{"type":"Nothing"}'])
def test_what_is_no_record_is_told(value):
    with pytest.raises(DecodeError):
        decode_policy_record(value)


def test_a_signature_that_is_no_base64_is_an_error_of_value():
    with pytest.raises(ValueError, match="ASCII"):
        signature_bytes(OperatorSignature(operator="kim", signature="§"))
