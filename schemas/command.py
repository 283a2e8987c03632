"""The one command: set the leverage of one lane."""

from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from schemas.targets import Target, venue_of
from schemas.timestamps import Timestamp

# The pattern that JSON Schema gives for decimal numbers in strings: what every language's decimal type reads.
DECIMAL_PATTERN = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"

AccountName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9._-]{1,64}$(?![\s\S])",
        description="The gateway's name of an account.",
        examples=["desk-1"],
    ),
]
CommandId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="The idempotency key; the client library makes UUIDv7.",
        examples=["0193a5c0-6e00-7000-8000-000000000001"],
    ),
]
Leverage = Annotated[
    Decimal,
    Meta(description="A decimal number: written as a string, read as a string or a number.", examples=["20"]),
]
PlainLeverage = Annotated[Leverage, Meta(extra_json_schema={"pattern": DECIMAL_PATTERN})]
Issuer = Annotated[str, Meta(max_length=256)]


class SetLeverage(Struct, frozen=True, kw_only=True, tag_field="type", tag="SetLeverage"):
    """Ask for the leverage of one lane; its record's key is `<venue>:<account>`."""

    command_id: CommandId
    account: AccountName
    leverage: PlainLeverage
    target: Annotated[Target, Meta(description="What the leverage is set for; `venue` tells which kind it is.")]
    issued_at: Annotated[Timestamp | None, Meta(description="When the engine decided.")] = None
    expires_at: Annotated[Timestamp | None, Meta(description="Never sent to the venue after this.")] = None
    issuer: Annotated[Issuer | None, Meta(description="Which engine asked.", examples=["momentum-7"])] = None
    redrive_of: Annotated[CommandId | None, Meta(description="The command whose dead letter this one redrives.")] = None

    @property
    def key(self) -> str:
        """The record key that keeps one account of one venue on one partition."""
        return f"{venue_of(self.target)}:{self.account}"
