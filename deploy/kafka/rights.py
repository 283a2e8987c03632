"""Who may do what at Kafka, and nothing beyond: one table, of which Strimzi's users and `kafka-acls` lines are made.

`python -m deploy.kafka.rights` writes `rights.md` beside this; `--acls` prints lines for `kafka-acls.sh`. A broker with
an authorizer proves it in tests/kafka/test_rights.py: each right is needed, and no other is had.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from schemas.topics import Topics

FILE = Path(__file__).parent / "rights.md"
GROUP = "leverage-gateway"
Operation = Literal["Read", "Write", "Describe", "DescribeConfigs", "Create"]


class Right(Struct, frozen=True):
    """What may be done with one resource, or with all whose name begins so."""

    kind: Literal["topic", "group", "transactionalId"]
    name: str
    operations: tuple[Operation, ...]
    is_prefix: bool = False

    def strimzi(self) -> dict[str, Any]:
        """As `spec.authorization.acls` of a KafkaUser has it."""
        pattern = "prefix" if self.is_prefix else "literal"
        resource = {"type": self.kind, "name": self.name, "patternType": pattern}
        return {"resource": resource, "operations": list(self.operations)}

    def options(self) -> str:
        """As `kafka-acls.sh` takes it."""
        option = {"topic": "--topic", "group": "--group", "transactionalId": "--transactional-id"}[self.kind]
        pattern = " --resource-pattern-type prefixed" if self.is_prefix else ""
        return " ".join(f"--operation {operation}" for operation in self.operations) + f" {option} {self.name}{pattern}"


class User(Struct, frozen=True):
    """One kind of client, what it is there for, and its rights."""

    name: str
    does: str
    rights: tuple[Right, ...]


def users(topics: Topics | None = None, group: str = GROUP) -> tuple[User, ...]:
    """All users of one deployment."""
    names = topics or Topics()
    every = (
        names.commands,
        names.events,
        names.state,
        names.dead_letters,
        names.dispositions,
        names.policy,
    )
    return (
        User(
            "leverage-gateway",
            "carries commands out; only it may write events, state and dead letters",
            (
                Right("topic", names.commands, ("Read", "DescribeConfigs")),
                Right("topic", names.events, ("Read", "Write", "DescribeConfigs")),
                Right("topic", names.state, ("Read", "Write", "DescribeConfigs")),
                Right("topic", names.dead_letters, ("Read", "Write", "DescribeConfigs")),
                Right("topic", names.dispositions, ("Describe", "DescribeConfigs")),
                Right("topic", names.policy, ("Read", "DescribeConfigs")),
                Right("group", group, ("Read",)),
                Right("transactionalId", f"{group}-{names.commands}-", ("Write",), is_prefix=True),
            ),
        ),
        User(
            "leverage-edge",
            "serves snapshots and streams, and takes commands over HTTP",
            (
                Right("topic", names.commands, ("Write",)),
                Right("topic", names.events, ("Read",)),
                Right("topic", names.state, ("Read",)),
            ),
        ),
        User(
            "leverage-strategy",
            "sends commands and reads their answers",
            (
                Right("topic", names.commands, ("Write",)),
                Right("topic", names.events, ("Read",)),
                Right("topic", names.state, ("Read",)),
            ),
        ),
        User(
            "leverage-cache",
            "follows what every lane has; sends nothing",
            (
                Right("topic", names.commands, ("Describe",)),
                Right("topic", names.events, ("Read",)),
                Right("topic", names.state, ("Read",)),
            ),
        ),
        User(
            "leverage-ops",
            "`send`, `watch`, `topics check`, `dead-letters …`, `freeze`, `policy …`",
            (
                Right("topic", names.commands, ("Read", "Write", "DescribeConfigs")),
                Right("topic", names.events, ("Read", "DescribeConfigs")),
                Right("topic", names.state, ("Read", "DescribeConfigs")),
                Right("topic", names.dead_letters, ("Read", "DescribeConfigs")),
                Right("topic", names.dispositions, ("Read", "Write", "DescribeConfigs")),
                Right("topic", names.policy, ("Read", "Write", "DescribeConfigs")),
                Right("transactionalId", f"{group}-redrive-", ("Write",), is_prefix=True),
            ),
        ),
        User(
            "leverage-topics",
            "`topics create` and `topics check`; not needed where the platform makes the topics",
            tuple(Right("topic", name, ("Create", "Describe", "DescribeConfigs")) for name in every),
        ),
    )


def markdown() -> str:
    """The table for people."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Who may do what at Kafka"
    yield ""
    yield "Made by `make schemas` from [rights.py](rights.py). A name that ends with `*` is a prefix."
    yield "Read and Write bring Describe with them, and no user needs a right on the cluster."
    yield "For another group: `python -m deploy.kafka.rights --acls --group NAME` prints what `kafka-acls.sh` takes."
    for user in users():
        yield from ("", f"## {user.name}", "", f"{user.does[0].upper()}{user.does[1:]}.", "")
        yield from ("| resource | operations |", "| --- | --- |")
        for right in user.rights:
            star = "*" if right.is_prefix else ""
            yield f"| {right.kind} `{right.name}{star}` | {', '.join(right.operations)} |"


def acls(group: str) -> Iterator[str]:
    """What `kafka-acls.sh` is to be given, a line a right."""
    for user in users(group=group):
        for right in user.rights:
            yield f"--add --allow-principal User:{user.name} {right.options()}"


def main() -> None:
    """Write the table, or print lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--acls", action="store_true", help="print arguments for kafka-acls.sh, a line a right")
    parser.add_argument("--group", default=GROUP, help="kafka.group_id")
    options = parser.parse_args()
    if options.acls:
        print("\n".join(acls(options.group)))
    else:
        FILE.write_text(markdown(), "utf-8")


if __name__ == "__main__":
    main()
