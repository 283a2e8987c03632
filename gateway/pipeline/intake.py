"""The first room: a record becomes a command on its way, or is answered at once.

Before it stands the consumer, after it the lanes. Synchronous, and no record can make it raise.
"""

from collections.abc import Callable, Mapping

from gateway.clock import Clock
from gateway.outcomes import Refusal
from gateway.pipeline.answers import Answer, of_refusal, undecodable
from gateway.pipeline.command import Command, CommandRecord
from gateway.pipeline.rules import CommandRules, Deadline
from gateway.venues.credentials import Keyring
from gateway.venues.venue import Venue
from schemas import DecodeError, SetLeverage, VenueName, decode_command
from schemas.headers import content_type
from schemas.targets import lane_of, venue_of
from schemas.trace_context import trace_headers

REMEDY = "produce with partitioner=murmur2_random (librdkafka), or the Java client's or aiokafka's default"
MOVED = "keys belong elsewhere than before: restart the producer, which may know only the old number"


class Intake:
    """Decodes and checks one record after the other."""

    def __init__(
        self,
        *,
        topic: str,
        venues: Mapping[VenueName, Venue],
        deadlines: Mapping[VenueName, Deadline],
        accounts: Keyring,
        partition_of: Callable[[bytes], int] | None,
        partition_change: Callable[[], str | None] = lambda: None,
        clock: Clock,
        venue_wall: Callable[[VenueName], float] | None = None,
    ) -> None:
        """Take the parts.

        Args:
            topic: the commands'.
            venues: whose rules are checked.
            deadlines: for commands without `expires_at`.
            accounts: who is known.
            partition_of: None leaves placement unchecked.
            partition_change: how the number of partitions differs from the settings', as keys move with it; None: not.
            clock: the time.
            venue_wall: a venue's own clock, by which deadlines are judged; None: ours.
        """
        self._topic = topic
        self._rules = CommandRules(venues, deadlines)
        self._accounts = accounts
        self._partition_of = partition_of
        self._partition_change = partition_change
        self._clock = clock
        self._venue_wall = venue_wall or self._our_wall

    def read(self, record: CommandRecord, *, suspect: bool = False) -> Command | Answer:
        """The command to carry out, or the answer to give instead.

        `suspect`: a predecessor may have sent it. So it cannot be called expired without asking the venue, and whose
        account that one knew and we do not is of unknown outcome.
        """
        try:
            command = self._decode(record)
        except DecodeError as error:
            return undecodable(record, str(error), now=self._clock.wall())
        refusal = self._refusal(command)
        if refusal is None or (suspect and refusal.reason == "expired"):
            return command
        if suspect and refusal.reason == "unknown_account":
            message = f"{refusal.message}; an earlier owner of the partition may have sent it"
            refusal = Refusal(reason="outcome_unknown", message=message)
        return of_refusal(command, refusal, topic=self._topic, now=self._clock.wall())

    def _decode(self, record: CommandRecord) -> Command:
        if record.unreadable is not None:
            raise DecodeError(record.unreadable)
        encoding = content_type(record.headers)
        if record.value is None:
            raise DecodeError("the record has no value; a command is a SetLeverage in JSON or MessagePack")
        command = decode_command(record.value, encoding)
        now = self._clock.monotonic()
        return Command(
            record=record,
            command=command,
            lane=lane_of(command.account, command.target),
            content_type=encoding,
            received_at=now,
            deadline=now + self._seconds_left(record, command),
            trace_headers=trace_headers(record.headers),
        )

    def _seconds_left(self, record: CommandRecord, command: SetLeverage) -> float:
        now = self._venue_wall(venue_of(command.target))
        return self._rules.seconds_left(command, now=now, recorded_ms=record.timestamp_ms)

    def _our_wall(self, _venue: VenueName) -> float:
        return self._clock.wall()

    def _refusal(self, command: Command) -> Refusal | None:
        message = command.command
        misplaced = self._misplaced(command.record, message.key)
        if misplaced:
            return Refusal(reason="invalid", message=misplaced)
        if broken := self._rules.broken(message):
            return broken
        if not self._accounts.knows(command.venue, message.account):
            why = f"no credentials: the settings have no table accounts.{message.account}.{command.venue}"
            return Refusal(reason="unknown_account", message=why)
        if command.deadline <= command.received_at:
            return self._rules.late(message)
        return None

    def _misplaced(self, record: CommandRecord, key: str) -> str | None:
        if record.key is None:
            return f"the record has no key; it must be {key!r}, so that one account stays on one partition"
        if record.key != key.encode():
            return f"the record's key {record.key[:128]!r} is not that of its command, {key!r}"
        if self._partition_of is None:
            return None
        belongs = self._partition_of(record.key)
        if belongs == record.partition:
            return None
        return f"key {key!r} belongs to partition {belongs}, not {record.partition}: {self._placement_remedy()}"

    def _placement_remedy(self) -> str:
        change = self._partition_change()
        return REMEDY if change is None else f"{change}, and {MOVED}; {REMEDY}"
