"""What is counted and logged of the edge."""

from typing import Any

import structlog

from gateway.telemetry.metrics import Metrics


class EdgeTelemetry:
    """Told by the parts of the edge."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log: Any = structlog.get_logger("gateway")

    def loaded(self, lanes: int) -> None:
        """Log that snapshots can be made."""
        self._log.info("loaded_state", lanes=lanes)

    def lost_log(self, why: str) -> None:
        """Log that Kafka cannot be followed now."""
        self._log.warning("lost_log", why=why)

    def other_log(self, why: str) -> None:
        """Log that all is read anew."""
        self._log.error("found_other_log", why=why)

    def passed_over(self, place: str, why: str) -> None:
        """Count and log a record that is no event."""
        self._metrics.edge_passed_over_total.inc()
        self._log.warning("passed_over_record", place=place, why=why)

    def read_back(self, records: int) -> None:
        """Count a stretch of older events."""
        self._metrics.edge_read_back_total.inc()
        self._log.debug("read_back", records=records)

    def changed_token(self, name: str) -> None:
        """Log a rotation."""
        self._log.info("changed_token", token=name)

    def lost_token(self, name: str, problem: str) -> None:
        """Log whom nobody is any more."""
        self._log.error("lost_token", token=name, problem=problem)

    def answered(self, route: str, status: int) -> None:
        """Count a request."""
        self._metrics.edge_requests_total.labels(route, str(status)).inc()

    def took(self, token: str, command_id: str, account: str) -> None:
        """Count and log who handed a command in."""
        self._metrics.edge_commands_total.labels("taken").inc()
        self._log.info("took_command", token=token, command_id=command_id, account=account)

    def refused(self, code: str) -> None:
        """Count a command that was refused."""
        self._metrics.edge_commands_total.labels(code).inc()

    def ended(self, code: int) -> None:
        """Count a stream that was ended here."""
        self._metrics.edge_ended_total.labels(str(code)).inc()
