"""One owned partition of commands, from taking it over to giving it up: the rooms of the pipeline put together.

`restore` learns from the answer topics what a predecessor answered; `feed` takes records in; lanes are served side by
side; `drain` ends in order. Whoever drives it (`kafka.group`, the simulation) pauses fetching until it is restored.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from gateway.calls.venue_caller import VenueCaller
from gateway.clock import Clock
from gateway.outcomes import Refusal
from gateway.ownership.lease import Lease
from gateway.ownership.ledger import Checkpoint, Ledger
from gateway.ownership.ports import AnswerLog, LoggedAnswer, NotOwnerError, Ownership, Tail
from gateway.ownership.repeats import Repeats, RepeatWindow
from gateway.ownership.takeover import learn, while_ours
from gateway.pipeline import answers
from gateway.pipeline.answers import Answer
from gateway.pipeline.brake import Brake
from gateway.pipeline.command import Command, CommandRecord
from gateway.pipeline.doubt import Accounts
from gateway.pipeline.execute import Executor
from gateway.pipeline.intake import Intake
from gateway.pipeline.lanes import Lane, LaneKey, Lanes
from gateway.pipeline.observer import Observer
from gateway.pipeline.settle import Settlement
from schemas import VenueName

UNTOLD = "the events that would tell whether it was carried out are deleted; read the venue's value, and redrive it"
QUIET = 120.0  # seconds; longer than the longest window of a limit and a difference of clocks together
REFUSED = 3  # tries in a row; one or two are a broker that changes its mind
DRAIN_LOOK = 0.05  # seconds between two looks for lanes that came back from a call to wait
State = Literal["restoring", "running", "draining", "gone"]


class PartitionPolicy(Struct, frozen=True, kw_only=True):
    """What bounds one partition; times in seconds."""

    topic: str
    group: str
    collect: float
    transaction_patience: float
    quarantine: float
    max_incomplete: int
    max_lane_queue: int
    repeat_window: RepeatWindow


class Parts(Struct, frozen=True, kw_only=True):
    """What all partitions of a process share."""

    policy: PartitionPolicy
    intake: Intake
    calls: Mapping[VenueName, VenueCaller]
    accounts: Accounts
    brake: Brake
    clock: Clock
    jitter: random.Random
    observer: Observer


class Partition:
    """One partition while this instance owns it."""

    def __init__(self, parts: Parts, *, ownership: Ownership, log: AnswerLog, lease: Lease) -> None:
        self._parts = parts
        self._ownership = ownership
        self._log = log
        self._lease = lease
        self._lanes = Lanes()
        self._repeats = Repeats(parts.policy.repeat_window)
        self._quarantined_below = 0
        self._untold_below = 0
        self._untold: set[LaneKey] = set()
        self._quarantine_ends = float("-inf")
        self._predecessor = False
        self._held: Counter[VenueName] = Counter()
        self._met: set[tuple[VenueName, str]] = set()
        self._ledger: Ledger | None = None
        self._settlement: Settlement | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self.state: State = "restoring"
        self._executor = Executor(
            topic=parts.policy.topic,
            calls=parts.calls,
            accounts=parts.accounts,
            clock=parts.clock,
            jitter=parts.jitter,
            may_set=lambda call_timeout: self.state == "running" and self._has_lease(call_timeout),
            may_read=self._has_lease,
            is_crowded=self._is_crowded,
            settle=self._settle,
            observer=parts.observer,
        )

    @property
    def lane_count(self) -> int:
        """Lanes with something to do."""
        return len(self._lanes)

    @property
    def is_refused(self) -> bool:
        """Whether its answers were not taken several times in a row."""
        return self._settlement is not None and self._settlement.failures >= REFUSED

    @property
    def incomplete(self) -> int:
        """Commands fetched and not answered."""
        return self._ledger.incomplete if self._ledger else 0

    @property
    def full(self) -> bool:
        """Whether fetching must pause."""
        return self.state != "running" or self.incomplete >= self._parts.policy.max_incomplete

    @property
    def has_room(self) -> bool:
        """Whether fetching may go on after a pause: below the bound, so that it does not flutter.

        Far enough above what stalled venues may keep, were it all of them.
        """
        return self.state == "running" and self.incomplete <= (self._parts.policy.max_incomplete - 1) * 7 // 8

    def checkpoint(self, *, clean: bool = False) -> Checkpoint | None:
        """What to commit now; None before it is restored and after it is lost."""
        return self._ledger.checkpoint(clean=clean) if self._ledger and self.state in ("running", "draining") else None

    async def run(self, restored: Callable[[int], None]) -> None:
        """Take over, tell where to fetch from, and work until cancelled or lost."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                try:
                    settlement = await self._restore()
                    self.state = "running"
                    restored(settlement.position)
                    await settlement.run()
                finally:
                    self.state = "gone"  # before the lanes end: nothing may be fed to them any more
        except* NotOwnerError:
            pass

    def feed(self, records: Sequence[CommandRecord]) -> None:
        """Take records in, in order of offset."""
        if self._ledger is None or self.state != "running":
            return
        touched: dict[Lane, None] = {}
        for record in records:
            if self._ledger.fetch(record.offset):
                lane = self._take_in(record)
                if lane is not None:
                    touched[lane] = None
        for lane in touched:
            self._executor.supersede(lane)

    async def drain(self, patience: float) -> Checkpoint | None:
        """Start nothing new, give what is in flight its time, and say what to commit on leaving."""
        if self.state != "running" or self._settlement is None:
            return None
        self.state = "draining"
        try:
            async with asyncio.timeout(patience):
                while serving := self._stop_waiting_lanes():
                    await asyncio.wait(serving, timeout=DRAIN_LOOK)
                await self._settlement.idle()
        except TimeoutError:
            return self.checkpoint()
        return self.checkpoint(clean=self._is_settled())

    def _is_settled(self) -> bool:
        """Whether nothing can be under way at a venue, of ours or of a predecessor's."""
        now = self._parts.clock.monotonic()
        if self._ledger is None or now < self._quarantine_ends:
            return False
        return self._ledger.checkpoint().offset >= self._quarantined_below and self._lanes.settled(now)

    def _stop_waiting_lanes(self) -> list[asyncio.Task[None]]:
        """Stop serving lanes with nothing at the venue, also those that come back to wait; the tasks still busy."""
        serving = [(lane, lane.server) for lane in self._lanes if lane.server is not None and not lane.server.done()]
        for lane, server in serving:
            if lane.running is None:
                server.cancel()
        return [server for _, server in serving]

    async def _restore(self) -> Settlement:
        """Learn from the answer topics what was answered; each step asks first whether the partition is still ours."""
        policy = self._parts.policy
        checkpoint = await while_ours(self._ownership, self._ownership.committed())
        opened = checkpoint._replace(clean=False)
        tail = await learn(self._ownership, self._log, opened, checkpoint.mark, policy.repeat_window)
        end = await while_ours(self._ownership, self._ownership.end())
        known = max(tail.answered, default=-1) + 1
        if max(checkpoint.offset, known) > end:
            checkpoint, tail = await self._begin_anew(checkpoint, end, tail)
        self._predecessor = end > 0 and not self._was_quiet(checkpoint, tail.recent)
        if not checkpoint.clean:
            self._quarantined_below = end
            self._quarantine_ends = self._parts.clock.monotonic() + policy.quarantine
        if not tail.is_complete:
            self._untold_below = end
            self._parts.observer.lost_answers(checkpoint.offset, end)
        for answered in tail.recent:
            self._repeats.answered(*answered)
        self._ledger = Ledger(checkpoint, tail.end, tail.answered)
        self._settlement = Settlement(
            topic=policy.topic,
            group=policy.group,
            ledger=self._ledger,
            log=self._log,
            ownership=self._ownership,
            clock=self._parts.clock,
            collect=policy.collect,
            patience=policy.transaction_patience,
            committed=self._committed,
            observer=self._parts.observer,
        )
        return self._settlement

    async def _begin_anew(self, checkpoint: Checkpoint, end: int, tail: Tail) -> tuple[Checkpoint, Tail]:
        """Start at the beginning of a topic made anew: what was committed or answered beyond its end is of another.

        A broker forgets the offsets committed for a topic that is deleted, and the events topic remembers its answers.
        """
        self._parts.observer.began_anew(checkpoint.offset, end)
        beginning = await while_ours(self._ownership, self._ownership.beginning())
        return Checkpoint(beginning, tail.end, clean=False), Tail(frozenset(), tail.recent, tail.end)

    def _was_quiet(self, checkpoint: Checkpoint, answered: Sequence[LoggedAnswer]) -> bool:
        """Whether the predecessor left in order and had called nobody for a while, as far as its answers tell."""
        window = self._parts.policy.repeat_window
        if not checkpoint.clean or window.count == 0 or window.age < QUIET:
            return False
        return all(answer.at < self._parts.clock.wall() - QUIET for answer in answered)

    def _take_in(self, record: CommandRecord) -> Lane | None:
        read = self._parts.intake.read(record, suspect=record.offset < max(self._quarantined_below, self._untold_below))
        incoming = read if isinstance(read, Command) else read.incoming
        if incoming is not None and self._is_repeat(incoming):
            return None
        if incoming is not None:
            self._held[incoming.venue] += 1
        if isinstance(read, Answer):
            answered = self._settle(read)
            if incoming is not None:
                self._lanes.refuse(incoming.lane, answered)
            return None
        if record.offset < self._untold_below:
            self._leave_untold(read)
            return None
        return self._admit(read)

    def _leave_untold(self, incoming: Command) -> None:
        """Answer a command that may have been answered before: sent again, it could undo a newer one."""
        refusal = Refusal(reason="outcome_unknown", message=UNTOLD)
        now = self._parts.clock.wall()
        answered = self._settle(answers.refused(incoming, refusal, topic=self._parts.policy.topic, now=now))
        self._lanes.refuse(incoming.lane, answered)
        self._untold.add(incoming.lane)

    def _is_repeat(self, incoming: Command) -> bool:
        command = incoming.command
        repeat = self._repeats.is_repeat(command.key, command.command_id, self._parts.clock.wall())
        if repeat and self._ledger is not None:
            self._ledger.answer(incoming.offset)
            self._parts.observer.repeated(incoming)
        elif not repeat:
            self._repeats.open(command.key, command.command_id)
        return repeat

    def _admit(self, incoming: Command) -> Lane | None:
        lane, new = self._lanes.admit(incoming)
        if new and incoming.offset < self._quarantined_below:  # newer ones are not sent before it is answered
            incoming.doubtful = True
            lane.not_before = max(lane.not_before, self._quarantine_ends)
        if incoming.lane in self._untold:
            lane.not_before = max(lane.not_before, self._quarantine_ends)
        if self._predecessor and (lane.venue, lane.account) not in self._met:
            self._met.add((lane.venue, lane.account))
            self._parts.calls[lane.venue].assume_spent(lane.account, self._quarantine_ends)
        if new and self._tasks is not None:
            lane.server = self._tasks.create_task(self._serve(lane))
        if len(lane.waiting) > self._parts.policy.max_lane_queue and not self._latest_wins(lane):
            lane.waiting.pop()
            message = f"{len(lane.waiting)} commands wait in lane {lane.key[2]} already"
            refusal = Refusal(reason="rate_limited", message=message)
            self._settle(
                answers.refused(incoming, refusal, topic=self._parts.policy.topic, now=self._parts.clock.wall())
            )
        return lane

    def _latest_wins(self, lane: Lane) -> bool:
        return self._parts.calls[lane.venue].settings.latest_wins

    async def _serve(self, lane: Lane) -> None:
        while self.state == "running":
            pause = lane.not_before - self._parts.clock.monotonic()
            if lane.head is not None:
                await self._executor.answer_next(lane)
            elif pause > 0:
                await asyncio.sleep(pause)
            else:
                self._lanes.forget(lane)
                return

    def _has_lease(self, call_timeout: float) -> bool:
        return self._ownership.held and self._lease.allows(self._parts.clock.monotonic(), call_timeout)

    def _is_crowded(self, venue: VenueName) -> bool:
        """Whether a venue's commands hold more of the partition's room than they leave.

        So nobody waits for one that is silent or has banned us: while it stalls it keeps half of the room, two of them
        keep two thirds, and what comes for them beyond that is refused at once. The commands of one that moves are
        never refused for want of room: then fetching pauses.
        """
        return self._held[venue] > max(1, self._parts.policy.max_incomplete - self.incomplete)

    def _settle(self, answer: Answer) -> asyncio.Future[None]:
        if self._settlement is None:
            raise RuntimeError("nothing can be answered before the partition is restored")
        incoming = answer.incoming
        if answer.dead_letter is not None and incoming is not None and self._is_braked(incoming.venue):
            answer = answers.without_dead_letter(answer)
        return self._settlement.add(answer)

    def _is_braked(self, venue: VenueName) -> bool:
        if self._parts.brake.allows(venue, self._parts.clock.monotonic()):
            return False
        self._parts.observer.braked(venue)
        return True

    def _committed(self, answer: Answer) -> None:
        observer, incoming, event = self._parts.observer, answer.incoming, answer.event
        if incoming is not None:
            self._held[incoming.venue] -= 1
        if incoming is not None and event is not None:
            self._repeats.answered(event.key, event.command_id, event.occurred_at.timestamp())
            observer.answered(incoming, event, self._parts.clock.monotonic() - incoming.received_at)
        if answer.dead_letter is not None:
            letter = answer.dead_letter
            observer.dead_lettered(answer.record, letter.stage, letter.reason, letter.message)
