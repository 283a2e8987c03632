"""The one command: set the leverage of one lane."""

from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from schemas.targets import Target, venue_of
from schemas.timestamps import Timestamp

AccountName = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$(?![\s\S])", description="The gateway's name of an account.", examples=["desk-1"])
]
CommandId = Annotated[
    str, Meta(min_length=1, max_length=64, description="The idempotency key; the client library makes UUIDv7.")
]
Leverage = Annotated[
    Decimal, Meta(description="A decimal number: written as a string, read as a string or a number.", examples=["20"])
]


class SetLeverage(Struct, frozen=True, kw_only=True, tag_field="type", tag="SetLeverage"):
    """Ask for the leverage of one lane; its record's key is `<venue>:<account>`."""

    command_id: CommandId
    account: AccountName
    leverage: Leverage
    target: Target
    issued_at: Annotated[Timestamp | None, Meta(description="When the engine decided.")] = None
    expires_at: Annotated[Timestamp | None, Meta(description="Never sent to the venue after this.")] = None
    issuer: Annotated[str, Meta(max_length=256, description="Which engine asked.")] | None = None
    redrive_of: Annotated[CommandId | None, Meta(description="The command whose dead letter this one redrives.")] = None

    @property
    def key(self) -> str:
        """The record key that keeps one account of one venue on one partition."""
        return f"{venue_of(self.target)}:{self.account}"
