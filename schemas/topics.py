"""The six topics: default names, and what each needs of the broker."""

from typing import Annotated, Literal

from msgspec import Meta, Struct


class Topics(Struct, frozen=True, kw_only=True):
    """Names of the topics; partition p of each but the policy's belongs to partition p of the commands."""

    commands: Annotated[str, Meta(description="Commands, keyed `<venue>:<account>`.")] = "leverage.commands.v1"
    events: Annotated[str, Meta(description="Answers, keyed as their command.")] = "leverage.events.v1"
    state: Annotated[str, Meta(description="The last LeverageChanged of each lane.")] = "leverage.state.v1"
    dead_letters: Annotated[str, Meta(description="Commands to look at, untouched.")] = "leverage.commands.dlq.v1"
    dispositions: Annotated[str, Meta(description="What was last done with each dead letter.")] = (
        "leverage.dispositions.v1"
    )
    policy: Annotated[str, Meta(description="The caps that rule, those in shadow, and what is frozen.")] = (
        "leverage.policy.v1"
    )


# Defaults; how many there are is a setting, and the same for all but the policy, which has one.
PARTITIONS = 12
REPLICAS = 1

CLEANUP: dict[str, Literal["delete", "compact"]] = {
    "commands": "delete",
    "events": "delete",
    "state": "compact",
    "dead_letters": "delete",
    "dispositions": "compact",
    "policy": "compact",
}
