"""What the policy topic holds: the rules that apply or are tried, and which scopes are stopped.

Keys are `policy`, `candidate` and `freeze:<scope>`. Each record names the one of its key that it replaces, so that
who signs it signs what it takes the place of: a signature of earlier is of no use later.
"""

import base64
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from schemas.codec import DecodeError, read_timestamp, write_timestamp
from schemas.command import AccountName, Issuer
from schemas.targets import VenueName
from schemas.timestamps import Timestamp

POLICY_KEY = "policy"
CANDIDATE_KEY = "candidate"
FREEZE_PREFIX = "freeze:"
EVERYTHING = "everything"
FreezeState = Literal["frozen", "lower_only", "open"]

LanePattern = Annotated[str, Meta(min_length=1, max_length=256)]


class Scope(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a freeze is for; what is not named is not asked, so an empty scope is everything."""

    venue: Annotated[VenueName | None, Meta(description="Of this venue.")] = None
    account: Annotated[AccountName | None, Meta(description="Of this account.")] = None
    lane: Annotated[
        LanePattern | None, Meta(description="Lanes like this; `*` stands for any characters.", examples=["BTC*"])
    ] = None
    issuer: Annotated[Issuer | None, Meta(description="Asked by this engine.")] = None

    def __str__(self) -> str:
        said = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        return "&".join(f"{name}={value}" for name, value in said.items()) or EVERYTHING


class OperatorSignature(Struct, frozen=True, kw_only=True):
    """One operator's Ed25519 signature of a record as it is without any signature."""

    operator: Annotated[str, Meta(description="Whose key, as the settings name it (`policy.operators`).")]
    signature: Annotated[str, Meta(description="Base64 of the 64 bytes.")]


class _PolicyRecord(Struct, frozen=True, kw_only=True, tag_field="type"):
    id: Annotated[str, Meta(description="This record's own: a UUIDv7.")]
    replaces: Annotated[str | None, Meta(description="The id of the record of the same key that it takes over from.")]
    at: Annotated[Timestamp, Meta(description="When it was made.")]
    operator: Annotated[str, Meta(description="Who made it, as told.")]


class PolicyApplied(_PolicyRecord, frozen=True, kw_only=True, tag="PolicyApplied"):
    """The caps that rule from now on (key `policy`), or that are tried beside them (key `candidate`)."""

    role: Annotated[Literal["policy", "candidate"], Meta(description="The record's key.")]
    note: Annotated[str, Meta(description="Why, as told.")]
    hash: Annotated[str, Meta(description="SHA-256 of `file` in UTF-8, in hexadecimal.")]
    file: Annotated[str, Meta(description="The rules as a person wrote them: TOML. Empty: no rules.")]
    signatures: Annotated[
        tuple[OperatorSignature, ...], Meta(description="None where the settings name no operators.")
    ] = ()

    @property
    def key(self) -> str:
        """The record key."""
        return self.role

    @property
    def version(self) -> str:
        """The text that events carry: the begin of the hash."""
        return self.hash[:12]


class Freeze(_PolicyRecord, frozen=True, kw_only=True, tag="Freeze"):
    """A scope is stopped, may only lower, or goes on (key `freeze:<scope>`)."""

    scope: Annotated[Scope, Meta(description="What it is for.")]
    state: Annotated[FreezeState, Meta(description="`open` takes back what stopped exactly this scope.")]
    reason: Annotated[str, Meta(description="Why, as told.")]
    signatures: Annotated[
        tuple[OperatorSignature, ...], Meta(description="None where the settings name no operators.")
    ] = ()

    @property
    def key(self) -> str:
        """The record key."""
        return f"{FREEZE_PREFIX}{self.scope}"


PolicyRecord = PolicyApplied | Freeze

_decoder = msgspec.json.Decoder(PolicyRecord, dec_hook=read_timestamp)
_encoder = msgspec.json.Encoder(enc_hook=write_timestamp)


def encode_policy_record(record: PolicyRecord) -> bytes:
    """Write one record as JSON; the same record always gives the same bytes."""
    return _encoder.encode(record)


def decode_policy_record(value: bytes) -> PolicyRecord:
    """Read one record; DecodeError says what is wrong and where."""
    try:
        return _decoder.decode(value)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise DecodeError(str(error)[:300]) from error


def signed_bytes(record: PolicyRecord) -> bytes:
    """What operators sign: the record as JSON, without signatures."""
    return encode_policy_record(msgspec.structs.replace(record, signatures=()))


def signature_bytes(signature: OperatorSignature) -> bytes:
    """The 64 bytes; ValueError where the text is no Base64."""
    return base64.b64decode(signature.signature, validate=True)
