"""What the policy decides, and how its topic is followed, as metrics and log lines."""

from typing import Literal, get_args

import structlog

from gateway.outcomes import Refusal
from gateway.policy.board import Ruling
from gateway.policy.guard import PolicyGuard
from gateway.telemetry.logging import command_log
from gateway.telemetry.metrics import Metrics
from schemas import SetLeverage
from schemas.targets import VENUES, venue_of

Decision = Literal["allowed", "denied", "shadow_denied"]


class PolicyTelemetry:
    """The production observer of the guard and of the policy topic's follower."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log = structlog.get_logger("gateway")
        self._decisions = {
            (venue, decision): metrics.policy_decisions_total.labels(venue, decision)
            for venue in VENUES
            for decision in get_args(Decision)
        }

    def watch(self, guard: PolicyGuard) -> None:
        """Show how old what the guard knows is, whenever it is asked for."""
        self._metrics.policy_staleness_seconds.set_function(lambda: guard.age)

    def allowed(self, command: SetLeverage) -> None:
        """Count it."""
        self._decisions[venue_of(command.target), "allowed"].inc()

    def denied(self, command: SetLeverage, refusal: Refusal) -> None:  # noqa: ARG002 - its answer tells the rest
        """Count it."""
        self._decisions[venue_of(command.target), "denied"].inc()

    def shadow_denied(self, command: SetLeverage, refusal: Refusal) -> None:
        """Count it, and log what the candidate would have refused."""
        self._decisions[venue_of(command.target), "shadow_denied"].inc()
        told = {"policy_version": refusal.policy_version, "policy_rules": refusal.policy_rules}
        command_log(command).info("would_refuse", leverage=str(command.leverage), issuer=command.issuer, **told)

    def ruled(self, ruling: Ruling) -> None:
        """Show and log what holds from now on."""
        metrics = self._metrics
        metrics.frozen_scopes.labels("frozen").set(sum(stop.is_frozen for stop in ruling.stops))
        metrics.frozen_scopes.labels("lower_only").set(sum(not stop.is_frozen for stop in ruling.stops))
        metrics.policy_applied_timestamp_seconds.set(ruling.since or 0.0)
        self._log.warning(
            "changed_policy",
            policy_version=None if ruling.policy is None else ruling.policy.book.version,
            candidate_version=None if ruling.candidate is None else ruling.candidate.book.version,
            stopped=[stop.told for stop in ruling.stops],
        )

    def refused_policy(self, key: str, objection: str) -> None:
        """Count and log a record that is not obeyed."""
        self._metrics.policy_records_refused_total.inc()
        self._log.error("refused_policy_record", key=key[:128], objection=objection)

    def lost_policy(self, error: str, freezes_in: float) -> None:
        """Say that what is known holds, and for how long."""
        self._metrics.policy_lost.set(1)
        remedy = "see policy.freeze_after, and the runbook's GatewayPolicyLost"
        self._log.error("lost_policy", error=error, freezes_in=round(freezes_in, 1), remedy=remedy)

    def froze_blind(self) -> None:
        """Log that everything is frozen."""
        self._log.error("froze_everything", remedy="nothing may be set until the policy topic is read again")

    def found_policy(self) -> None:
        """Log that the topic governs again."""
        self._metrics.policy_lost.set(0)
        self._log.warning("found_policy")
