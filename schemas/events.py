"""The two answers: exactly one of them for every command that can be decoded."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from schemas.command import DECIMAL_PATTERN, AccountName, CommandId, Leverage, PlainLeverage, SetLeverage
from schemas.targets import Target, venue_of
from schemas.timestamps import Timestamp

Certainty = Literal["confirmed", "read_back"]
Reason = Literal[
    "invalid",
    "unknown_account",
    "policy",
    "expired",
    "superseded",
    "venue_rejected",
    "unauthorised",
    "rate_limited",
    "venue_unavailable",
    "outcome_unknown",
]

_REASONS = (
    "`invalid`: the command breaks a rule, `message` says which; "
    "`unknown_account`: no credentials for this account at this venue; "
    "`policy`: a freeze or a cap forbids it, `policy_rules` says which; "
    "`expired`: it could not be sent in time; "
    "`superseded`: a newer command of the lane came first; "
    "`venue_rejected`: the venue said no; "
    "`unauthorised`: the venue does not accept the key; "
    "`rate_limited`: no budget in time; "
    "`venue_unavailable`: the venue could not be reached, or could not do it; "
    "`outcome_unknown`: it was sent, and nobody can say whether it was applied."
)


# Left out of the bytes where no policy spoke: readers of earlier releases see what they always saw.
PolicyVersion = Annotated[
    str | UnsetType,
    Meta(description="The policy that spoke: the begin of its file's hash.", examples=["9f86d081884c"]),
]
PolicyRules = Annotated[
    tuple[str, ...] | UnsetType,
    Meta(description="All rules that were broken, and freezes that held.", examples=[["majors.maximum"]]),
]


class _Answer(Struct, frozen=True, kw_only=True, tag_field="type"):
    event_id: Annotated[
        str,
        Meta(
            description="Made from the command's topic, partition and offset: the same if repeated.",
            examples=["leverage.commands.v1/3/1042"],
        ),
    ]
    command_id: CommandId
    account: AccountName
    target: Annotated[Target, Meta(description="The command's.")]
    lane: Annotated[
        str, Meta(description="What the setting covers at the venue; the unit of order.", examples=["BTCUSDT"])
    ]
    issuer: Annotated[str | None, Meta(description="The command's.")]
    redrive_of: Annotated[CommandId | None, Meta(description="The command's.")]
    attempts: Annotated[int, Meta(ge=0, description="Calls made to the venue's leverage endpoint for this command.")]
    issued_at: Annotated[Timestamp | None, Meta(description="The command's.")]
    occurred_at: Annotated[Timestamp, Meta(description="When the gateway knew.")]

    @property
    def key(self) -> str:
        """The record key: the command's."""
        return f"{venue_of(self.target)}:{self.account}"

    @property
    def state_key(self) -> str:
        """The key of the lane's record in the compacted state topic."""
        return f"{self.key}:{self.lane}"


class LeverageChanged(_Answer, frozen=True, kw_only=True, tag="LeverageChanged"):
    """The venue now has this leverage."""

    leverage: Annotated[PlainLeverage, Meta(description="What the venue now has.")]
    requested_leverage: Annotated[PlainLeverage, Meta(description="What the command asked for.")]
    certainty: Annotated[
        Certainty, Meta(description="`confirmed`: the venue's answer said so; `read_back`: it was read afterwards.")
    ]
    max_notional: Annotated[
        Annotated[Decimal, Meta(extra_json_schema={"pattern": DECIMAL_PATTERN})] | None,
        Meta(description="The largest position at this leverage, where the venue tells it.", examples=["1000000"]),
    ] = None
    policy_version: PolicyVersion = UNSET
    policy_rules: PolicyRules = UNSET


class LeverageRejected(_Answer, frozen=True, kw_only=True, tag="LeverageRejected"):
    """The command did not, or as far as is known did not, change the leverage."""

    leverage: Annotated[Leverage, Meta(description="What was asked, also where that is no sensible number (`NaN`).")]
    reason: Annotated[Reason, Meta(description=_REASONS)]
    message: Annotated[str, Meta(description="For people: what is wrong, and what would be right.")]
    venue_code: Annotated[str | None, Meta(description="The venue's own error code.", examples=["-4028"])] = None
    http_status: Annotated[int | None, Meta(description="Of the venue's last answer.", examples=[400])] = None
    dead_lettered: Annotated[bool, Meta(description="The command's bytes are on the dead-letter topic too.")] = False
    superseded_by: Annotated[CommandId | None, Meta(description="The newer command of the same lane.")] = None
    retry_at: Annotated[Timestamp | None, Meta(description="Not before this, where the gateway or venue knows.")] = None
    policy_version: PolicyVersion = UNSET
    policy_rules: PolicyRules = UNSET


Event = LeverageChanged | LeverageRejected


def fields_of_answer(command: SetLeverage, *, event_id: str, attempts: int, occurred_at: Timestamp) -> dict[str, Any]:
    """What either kind of event on a command has, by field."""
    return {
        "event_id": event_id,
        "command_id": command.command_id,
        "account": command.account,
        "target": command.target,
        "lane": command.target.lane,
        "issuer": command.issuer,
        "redrive_of": command.redrive_of,
        "attempts": attempts,
        "issued_at": command.issued_at,
        "occurred_at": occurred_at,
    }
