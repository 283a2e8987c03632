"""Which freezes hold for a command. `board` keeps them as the topic has them."""

from msgspec import Struct

from gateway.policy.decide import Breach
from gateway.policy.rules import matches
from schemas import Freeze, FreezeState, Scope, SetLeverage
from schemas.targets import LaneKey, lane_of

TIGHTNESS: dict[FreezeState, int] = {"open": 0, "lower_only": 1, "frozen": 2}


class Stop(Struct, frozen=True, kw_only=True):
    """A scope that is stopped: its name in events, whether all of it or raising only, and why."""

    name: str
    scope: Scope
    is_frozen: bool
    told: str


def stop_of(freeze: Freeze) -> Stop:
    """A freeze that holds, as the pipeline needs it."""
    is_frozen = freeze.state == "frozen"
    state = "frozen" if is_frozen else "may only be lowered"
    return Stop(
        name=freeze.key,
        scope=freeze.scope,
        is_frozen=is_frozen,
        told=f"{freeze.scope} is {state} since {freeze.at} by {freeze.operator}: {freeze.reason}",
    )


def is_within(scope: Scope, command: SetLeverage) -> bool:
    """Whether a command belongs to a scope."""
    return is_lane_within(scope, lane_of(command.account, command.target)) and (
        scope.issuer is None or command.issuer == scope.issuer
    )


def is_lane_within(scope: Scope, lane: LaneKey) -> bool:
    """Whether a lane may hold commands of a scope."""
    venue, account, name = lane
    return (
        (scope.venue is None or scope.venue == venue)
        and (scope.account is None or scope.account == account)
        and (scope.lane is None or matches(scope.lane, name))
    )


def breach_of(stop: Stop) -> Breach:
    """What is told of a command that a stop holds up; time does not cure it."""
    return Breach(stop.name, stop.told)
