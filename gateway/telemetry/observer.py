"""What the pipeline and the group tell, as metrics and log lines; the one place that turns the one into the other."""

from functools import cache

import structlog
from structlog.typing import FilteringBoundLogger

from gateway.calls.observer import Called
from gateway.outcomes import Ambiguous, ClockSkewed, KeyRejection, Outcome, Throttled, Unavailable
from gateway.pipeline.command import Command, CommandRecord
from gateway.pipeline.steps import Retry
from gateway.telemetry.journeys import Journeys
from gateway.telemetry.metrics import Metrics
from schemas import Event, LeverageChanged, VenueName
from schemas.targets import venue_of


class Telemetry:
    """The production observer of pipeline and group."""

    def __init__(self, metrics: Metrics, journeys: Journeys | None = None) -> None:
        """`journeys` makes traces; None where nobody wants them."""
        self._metrics = metrics
        self._journeys = journeys
        self._log: FilteringBoundLogger = structlog.get_logger("gateway").bind()  # unbound, each line would bind it
        # Told of every command: to look a metric's child up by its labels costs more than to count.
        self._commands_total = cache(metrics.commands_total.labels)
        self._command_duration_seconds = cache(metrics.command_duration_seconds.labels)
        self._venue_requests_total = cache(metrics.venue_requests_total.labels)
        self._venue_request_duration_seconds = cache(metrics.venue_request_duration_seconds.labels)
        self._limit_wait_seconds = cache(metrics.limit_wait_seconds.labels)

    def answered(self, command: Command, event: Event, seconds: float) -> None:
        """Count the answer by its outcome; log it with the command's id, venue and account."""
        outcome = "changed" if isinstance(event, LeverageChanged) else event.reason
        self._commands_total(command.venue, outcome).inc()
        self._command_duration_seconds(command.venue).observe(seconds)
        if self._journeys is not None:
            self._journeys.answered(command, event)
        about = _about(command)
        where = {"attempts": event.attempts, "seconds": round(seconds, 4)}
        if isinstance(event, LeverageChanged):
            told = {"leverage": str(event.leverage), "certainty": event.certainty}
            self._log.info("changed_leverage", **about, **told, **where)
        else:
            told = {"reason": event.reason, "message": event.message, "venue_code": event.venue_code}
            self._log.info("rejected_command", **about, **told, **where)

    def dead_lettered(
        self, record: CommandRecord, command: Command | None, stage: str, reason: str, message: str
    ) -> None:
        """Count it; log where the record was, never its bytes."""
        self._metrics.dead_letters_total.labels(stage, reason).inc()
        place = {"partition": record.partition, "offset": record.offset}
        log = self._log.bind(**place) if command is None else _log_of(command)
        log.warning("dead_lettered_record", stage=stage, reason=reason, message=message)

    def braked(self, venue: VenueName) -> None:
        """Count a dead letter left out."""
        self._metrics.dead_letters_braked_total.labels(venue).inc()

    def repeated(self, command: Command) -> None:
        """Count and log a repeat."""
        self._metrics.repeats_total.labels(venue_of(command.command.target)).inc()
        _log_of(command).info("skipped_repeat")

    def called(self, fact: Called) -> None:
        """Count the request by endpoint and status; a ban and a refused key are loud."""
        venue, outcome = fact.venue, fact.outcome
        status = "none" if fact.status is None else str(fact.status)
        self._venue_requests_total(venue, fact.call.purpose, status).inc()
        self._venue_request_duration_seconds(venue, fact.call.purpose).observe(fact.seconds)
        if self._journeys is not None:
            self._journeys.called(fact)
        where = {"venue": venue, "account": fact.account, "endpoint": fact.call.purpose}
        if isinstance(outcome, Throttled):
            if outcome.banned:
                self._metrics.bans_total.labels(venue).inc()
            told = {"limit": outcome.limit, "banned": outcome.banned, "code": outcome.code}
            self._log.warning("met_limit", **where, **told)
        elif isinstance(outcome, KeyRejection):
            self._log.error("refused_keys", **where, code=outcome.code, message=outcome.message)

    def retried(self, command: Command, retry: Retry) -> None:
        """Count and log a call that will be made again."""
        kind = _retry_kind(retry.outcome)
        self._metrics.retries_total.labels(command.venue, kind).inc()
        _log_of(command).info(
            "retrying_call",
            outcome=kind,
            attempts=retry.attempts,
            back_off=round(retry.seconds, 4),
            message=_text(retry.outcome),
        )

    def waited(self, venue: VenueName, seconds: float) -> None:
        """Observe the wait for a permit."""
        self._limit_wait_seconds(venue).observe(seconds)

    def missed_venue_clock(self, venue: VenueName) -> None:
        """Log that the clock known before stays in use."""
        self._log.warning("missed_venue_clock", venue=venue)

    def compared_clocks(self, venue: VenueName, offset: float, *, differ: bool) -> None:
        """Log that a clock is wrong, ours or the venue's: deadlines and signatures go by the venue's."""
        if differ:
            remedy = "set this machine's clock (NTP); until then deadlines are judged by the venue's"
            self._log.warning("differing_clocks", venue=venue, venue_ahead=round(offset, 3), remedy=remedy)
        else:
            self._log.info("agreeing_clocks", venue=venue, venue_ahead=round(offset, 3))

    def resized(self, venue: VenueName, limit: str, before: int, capacity: int) -> None:
        """Log what the venue publishes now."""
        self._log.warning("changed_limit", venue=venue, limit=limit, before=before, capacity=capacity)

    def transacted(self, partition: int, count: int, seconds: float) -> None:
        """Count a committed transaction."""
        self._metrics.transactions_total.labels("committed").inc()
        self._metrics.transaction_seconds.observe(seconds)
        self._log.debug("committed_answers", partition=partition, count=count)

    def recovered(self, partition: int, error: BaseException) -> None:
        """Count and log a transaction whose outcome has to be read."""
        self._metrics.transactions_total.labels("unknown").inc()
        self._log.warning("unknown_transaction", partition=partition, error=repr(error))

    def began_anew(self, topic: str, partition: int, why: str) -> None:
        """Log that a topic was made anew."""
        self._log.error(
            "found_topic_made_anew",
            topic=topic,
            partition=partition,
            why=why,
            remedy="stop all gateways before a topic is deleted; delete the group's offsets with it",
        )

    def lost_answers(self, topic: str, partition: int, committed: int, end: int) -> None:
        """Log that commands are not carried out, because whether they were is deleted."""
        self._log.error(
            "found_answers_deleted",
            topic=topic,
            partition=partition,
            committed=committed,
            end=end,
            remedy="keep the events for longer than the commands and the group's offsets",
        )

    def unparsed(self, error: BaseException) -> None:
        """Count and log a fetch that the client library could not parse."""
        self._metrics.unparsed_fetches_total.inc()
        self._log.warning("read_without_library", error=repr(error))

    def damaged(self, partition: int, error: BaseException) -> None:
        """Log a batch whose checksum is wrong."""
        self._log.warning("found_damaged_batch", partition=partition, error=str(error))

    def refused(self, partition: int, why: str, times: int) -> None:
        """Count and log an answer that the broker does not take."""
        self._metrics.transactions_total.labels("refused").inc()
        self._log.error("refused_answer", partition=partition, why=why, times=times)

    def missed_past(self, error: BaseException) -> None:
        """Log that the topics do not tell what lanes had."""
        self._log.warning("missed_kafka", doing="read what lanes had, for the policy", error=repr(error))

    def failed(self, command: Command, error: BaseException) -> None:
        """Log a bug with its traceback."""
        _log_of(command).error("failed_command", exc_info=error)

    def lost_shared_store(self, reason: str) -> None:
        """Say that shared limits are held by our share of them."""
        self._metrics.shared_store_up.set(0)
        self._log.warning(
            "lost_shared_store", reason=reason, remedy="see redis.url, username, password_file, ssl_cafile"
        )

    def found_shared_store(self) -> None:
        """Say that the store governs shared limits."""
        self._metrics.shared_store_up.set(1)
        self._log.warning("found_shared_store")

    def reloaded_keys(self, venue: VenueName, account: str) -> None:
        """Count and log a rotation."""
        self._metrics.key_reloads_total.labels(venue, "used").inc()
        self._log.info("reloaded_keys", venue=venue, account=account)

    def kept_old_keys(self, venue: VenueName, account: str, setting: str, problem: str) -> None:
        """Count and log a rotation that failed."""
        self._metrics.key_reloads_total.labels(venue, "unusable").inc()
        place = f"accounts.{account}.{venue}.{setting}"
        self._log.error("kept_old_keys", venue=venue, account=account, setting=place, problem=problem)

    def certificate_ends(self, at: float) -> None:
        """Show until when our certificate is valid."""
        self._metrics.kafka_certificate_expires_timestamp_seconds.set(at)

    def reloaded_kafka_credentials(self) -> None:
        """Log a rotation."""
        self._log.info("reloaded_kafka_credentials")

    def kept_old_kafka_credentials(self, problem: str) -> None:
        """Log a rotation that failed."""
        self._log.error("kept_old_kafka_credentials", problem=problem)

    def returned_to_old_keys(self, venue: VenueName, account: str, message: str) -> None:
        """Count and log new keys that the venue does not take."""
        self._metrics.key_reloads_total.labels(venue, "refused").inc()
        self._log.error("returned_to_old_keys", venue=venue, account=account, message=message)

    def stopped_account(self, venue: VenueName, account: str, message: str, pause: float) -> None:
        """Log whose keys were refused."""
        self._log.error("stopped_account", venue=venue, account=account, message=message, tried_again_in=pause)

    def started_account(self, venue: VenueName, account: str) -> None:
        """Log whose keys are taken again."""
        self._log.warning("started_account", venue=venue, account=account)

    def assigned(self, partitions: list[int]) -> None:
        """Log what the group gave us."""
        self._metrics.assigned_partitions.set(len(partitions))
        self._log.info("assigned_partitions", partitions=partitions)

    def restored(self, partition: int, offset: int) -> None:
        """Log a finished takeover."""
        self._log.info("restored_partition", partition=partition, offset=offset)

    def revoked(self, partitions: list[int], *, clean: bool) -> None:
        """Log what the group took back."""
        self._metrics.assigned_partitions.set(0)
        self._log.info("revoked_partitions", partitions=partitions, clean=clean)

    def repartitioned(self, change: str) -> None:
        """Log that partitions were added to the commands."""
        remedy = "never grow them: keys move, and other topics do not grow with them; make new topics"
        self._log.error("found_topic_problem", problem=change, remedy=remedy)

    def kafka_failed(self, operation: str, error: BaseException) -> None:
        """Log which operation failed."""
        self._log.warning("missed_kafka", doing=operation, error=repr(error))


def _log_of(command: Command) -> FilteringBoundLogger:
    """A logger whose every line says which command it is about, and where its record is."""
    return structlog.get_logger("gateway").bind(**_about(command))


def _about(command: Command) -> dict[str, object]:
    message, record = command.command, command.record
    return {
        "command_id": message.command_id,
        "venue": command.venue,
        "account": message.account,
        "lane": command.lane[2],
        "partition": record.partition,
        "offset": record.offset,
    }


def _retry_kind(outcome: Outcome) -> str:
    match outcome:
        case Throttled():
            return "throttled"
        case Ambiguous():
            return "ambiguous"
        case ClockSkewed():
            return "clock_skewed"
        case _:
            return "unavailable"


def _text(outcome: Outcome) -> str | None:
    return outcome.message if isinstance(outcome, Unavailable | Ambiguous | Throttled | ClockSkewed) else None
