"""A gateway that cannot fail, on paper: it answers what the generator asks and writes the history of it.

The checker's own tests start from such a history and break it.
"""

from collections import Counter
from decimal import Decimal
from typing import Any

from schemas import Event, LeverageChanged, LeverageRejected, Reason, SetLeverage, Timestamp, encode
from schemas.codec import ContentType
from schemas.events import fields_of_answer
from schemas.headers import COMMAND_OFFSET, COMMAND_PARTITION, ERROR_PREFIX, content_type
from schemas.topics import Topics
from schemas.trace_context import trace_headers
from tests.chaos.generator import Outgoing
from tests.chaos.history import Call, History, Record
from tests.chaos.story import command_of, lane_key

CALL_TOOK = 0.010
COMMANDS = Topics().commands


class Perfect:
    """Takes records one after the other; time goes on with each call."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.commands: list[Record] = []
        self.events: list[Record] = []
        self.state: list[Record] = []
        self.dead_letters: list[Record] = []
        self.calls: list[Call] = []
        self.final: dict[str, Decimal] = {}
        self._seen: set[tuple[int, str]] = set()
        self._next_offset: Counter[tuple[int, int]] = Counter()

    def history(self, seed: int = 0) -> History:
        """All that happened."""
        return History(
            seed=seed,
            commands=tuple(self.commands),
            events=tuple(self.events),
            state=tuple(self.state),
            dead_letters=tuple(self.dead_letters),
            calls=tuple(self.calls),
            final=dict(self.final),
        )

    def ask(self, outgoing: Outgoing) -> Record:
        """Let a command record arrive."""
        fields: dict[str, Any] = {"key": outgoing.key, "value": outgoing.value, "headers": outgoing.headers}
        record = self._record(self.commands, outgoing.partition, **fields)
        self.now += 0.001
        return record

    def settle(self, record: Record, kind: str) -> None:
        """Do what is right for what the generator made."""
        command = command_of(record)
        if command is None:
            self.dead_letter(record, stage="intake", reason="undecodable", message="no command", attempts=0)
        elif (record.partition, command.command_id) in self._seen:
            return
        elif kind == "misplaced":
            self.reject(record, command, "invalid")
        elif command.expires_at is not None and command.expires_at.timestamp() < self.now + CALL_TOOK:
            self.reject(record, command, "expired")
        else:
            self.change(record, command)
        if command is not None:
            self._seen.add((record.partition, command.command_id))

    def change(self, record: Record, command: SetLeverage) -> None:
        """Call the venue, which obeys."""
        self.call(command)
        answer = LeverageChanged(
            **_about(record, command, self.now, attempts=1),
            leverage=command.leverage,
            requested_leverage=command.leverage,
            certainty="confirmed",
        )
        told = self.tell(record, answer)
        fields: dict[str, Any] = {"key": answer.state_key.encode(), "value": told.value, "headers": told.headers}
        self._record(self.state, record.partition, **fields)

    def call(self, command: SetLeverage, *, applied: bool = True) -> Call:
        """One call to the venue."""
        venue, account, lane = lane_key(command).split(":", 2)
        call = Call(
            seq=len(self.calls) + 1,
            venue=venue,
            account=account,
            lane=lane,
            value=command.leverage,
            received_at=self.now,
            applied_at=self.now + CALL_TOOK / 2 if applied else None,
            finished_at=self.now + CALL_TOOK,
            status=200 if applied else 503,
            verdict="applied" if applied else "fault",
        )
        self.calls.append(call)
        if applied:
            self.final[call.lane_key] = command.leverage
        self.now += CALL_TOOK + 0.001
        return call

    def reject(self, record: Record, command: SetLeverage, reason: Reason, **more: Any) -> None:
        """Say no."""
        fields: dict[str, Any] = {"message": "no", "leverage": command.leverage} | more
        answer = LeverageRejected(**_about(record, command, self.now, attempts=0) | fields, reason=reason)
        self.tell(record, answer)
        if answer.dead_lettered:
            said = {"reason": reason, "message": answer.message, "attempts": answer.attempts}
            self.dead_letter(record, stage="execute", failed_at=answer.occurred_at, **said)

    def tell(self, record: Record, event: Event) -> Record:
        """Write an event."""
        encoding: ContentType = content_type(record.headers)
        headers = (("content-type", encoding.encode()), *_place(record), *trace_headers(record.headers))
        fields: dict[str, Any] = {"key": event.key.encode(), "value": encode(event, encoding), "headers": headers}
        return self._record(self.events, record.partition, **fields)

    def dead_letter(self, record: Record, **errors: Any) -> None:
        """Write a dead letter with its error headers."""
        where = {"topic": COMMANDS, "partition": record.partition, "offset": record.offset, "group": "paper"}
        now = Timestamp.from_epoch(self.now)
        said = {"timestamp": Timestamp.from_epoch(record.timestamp_ms / 1000), "failed_at": now} | where | errors
        error_headers = ((ERROR_PREFIX + name, str(value).encode()) for name, value in said.items())
        headers = (*record.headers, *_place(record), *error_headers)
        self._record(self.dead_letters, record.partition, key=record.key, value=record.value, headers=headers)

    def _record(self, topic: list[Record], partition: int, **fields: Any) -> Record:
        record = Record(
            partition=partition,
            offset=self._next_offset[id(topic), partition],
            timestamp_ms=int(self.now * 1000),
            **fields,
        )
        topic.append(record)
        ends = topic is not self.commands  # each answer is a transaction of its own, whose end takes an offset too
        self._next_offset[id(topic), partition] += 2 if ends else 1
        return record


def _place(record: Record) -> tuple[tuple[str, bytes], ...]:
    return (COMMAND_PARTITION, b"%d" % record.partition), (COMMAND_OFFSET, b"%d" % record.offset)


def _about(record: Record, command: SetLeverage, now: float, *, attempts: int) -> dict[str, Any]:
    event_id = f"{COMMANDS}/{record.partition}/{record.offset}"
    return fields_of_answer(command, event_id=event_id, attempts=attempts, occurred_at=Timestamp.from_epoch(now))
