"""What the demo's operator does: a cap, a rule in shadow and a freeze, as the command line writes them."""

import asyncio

from gateway.client import CommandIds
from gateway.demo.stage import Stage
from gateway.kafka.policy_topic import write_policy
from gateway.policy.file import hash_of
from schemas import Freeze, PolicyApplied, Scope, Timestamp
from schemas.policy import PolicyRecord
from schemas.topics import Topics

CAPS = '[rules.memes]\nsymbol = "DOGE*"\nmaximum = 10\n'
TIGHTER = '[rules.alts]\nsymbol = "SOL*"\nmaximum = 5\n'
FROZEN_LANES = "cross.contract.SOL*"
_PATIENCE = 10.0


async def set_policy(stage: Stage, at: Timestamp) -> None:
    """Write all three, and wait until the gateway obeys."""
    for record in _records(at):
        await write_policy(Topics().policy, {"bootstrap_servers": stage.bootstrap_servers}, record)
    async with asyncio.timeout(_PATIENCE):
        while not stage.gateway.guard.stops:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)


def _records(at: Timestamp) -> tuple[PolicyRecord, ...]:
    ids = CommandIds()
    return (
        PolicyApplied(
            id=ids(), replaces=None, at=at, operator="demo", role="policy", note="caps", hash=hash_of(CAPS), file=CAPS
        ),
        PolicyApplied(
            id=ids(),
            replaces=None,
            at=at,
            operator="demo",
            role="candidate",
            note="to be tried",
            hash=hash_of(TIGHTER),
            file=TIGHTER,
        ),
        Freeze(
            id=ids(),
            replaces=None,
            at=at,
            operator="demo",
            scope=Scope(venue="okx", lane=FROZEN_LANES),
            state="frozen",
            reason="an incident at the venue",
        ),
    )
