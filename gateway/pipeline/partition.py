"""One owned partition of commands, from what its owner inherited to giving it up: the rooms of the pipeline together.

`feed` takes records in; lanes are served side by side; `drain` ends in order. Whoever drives it (`kafka.group`, the
simulation) makes one once the partition is taken over, and fetches only then.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from math import inf
from typing import Literal

from tenacity import AsyncRetrying, wait_fixed

from gateway.outcomes import Refusal
from gateway.ownership.fingerprint import is_of
from gateway.ownership.lease import Lease
from gateway.ownership.ledger import Checkpoint, Ledger
from gateway.ownership.ports import AnswerLog, NotOwnerError, Ownership
from gateway.ownership.repeats import Repeats
from gateway.ownership.takeover import Inheritance
from gateway.pipeline import answers
from gateway.pipeline.answers import Answer
from gateway.pipeline.command import Command, CommandRecord
from gateway.pipeline.fence import Fence
from gateway.pipeline.lane import Lane
from gateway.pipeline.obey import obey
from gateway.pipeline.parts import Parts
from gateway.pipeline.serve import LaneServer
from gateway.pipeline.settle import Settlement
from gateway.pipeline.steps import LaneWait, Tell
from gateway.pipeline.verdicts import Verdicts
from gateway.policy.guard import ReadPast
from schemas import LeverageChanged, VenueName
from schemas.targets import LaneKey

UNTOLD = "the events that would tell whether it was carried out are deleted; read the venue's value, and redrive it"
QUIET = 120.0  # seconds; longer than the longest window of a limit and a difference of clocks together
ASK_AGAIN = 1.0  # seconds
REFUSED = 3  # tries in a row; one or two are a broker that changes its mind
State = Literal["running", "draining", "gone"]


class Partition:
    """One partition while this instance owns it."""

    def __init__(
        self,
        parts: Parts,
        inheritance: Inheritance,
        *,
        ownership: Ownership,
        log: AnswerLog,
        lease: Lease,
        past: ReadPast | None = None,
    ) -> None:
        """`past` tells what lanes had, where the policy asks."""
        policy, tail, now = parts.policy, inheritance.tail, parts.clock.monotonic()
        self._parts = parts
        self._ownership = ownership
        self._past = past
        self._rails = None if parts.guard is None else parts.guard.past()
        self._quarantined_below = inheritance.sent_below
        self._twin_ends = now + policy.afterlife.starts
        self._has_twin = policy.afterlife.starts > 0 and inheritance.may_have_a_twin
        is_quarantined = self._has_twin or inheritance.may_be_called_for
        self._quarantine_ends = now + policy.afterlife.takes_effect if is_quarantined else -inf
        self._others_call_until = now + policy.afterlife.arrives if is_quarantined else -inf
        self._former_ends = self._quarantine_ends if inheritance.has_former_topic else -inf
        self._untold_below = inheritance.untold_below
        self._is_made_anew = False
        self._untold: set[LaneKey] = set()
        self._predecessor = not self._was_quiet(inheritance)
        self._others_called_at = self._last_call_of_others(inheritance)
        self._held: Counter[VenueName] = Counter()
        self._met: set[tuple[VenueName, str]] = set()
        self._repeats = Repeats(policy.repeat_window)
        for answered in tail.recent:
            self._repeats.answered(*answered)
        self._ledger = Ledger(inheritance.checkpoint, tail.end, tail.answered, untold_below=inheritance.untold_below)
        self._tasks = asyncio.TaskGroup()
        self.state: State = "running"
        self._settlement = Settlement(
            topic=policy.topic,
            group=policy.group,
            ledger=self._ledger,
            log=log,
            ownership=ownership,
            clock=parts.clock,
            collect=policy.collect,
            patience=policy.transaction_patience,
            committed=self._committed,
            observer=parts.observer,
        )
        self._fence = Fence(ownership, lease, parts.clock, may_begin=self._may_begin)
        self._verdicts = Verdicts(topic=parts.policy.topic, callers=parts.callers, clock=parts.clock)
        self._lanes = LaneServer(
            policies=parts.lanes,
            callers=parts.callers,
            accounts=parts.accounts,
            clock=parts.clock,
            fence=self._fence,
            is_crowded=self._is_crowded,
            is_expired=self._verdicts.is_expired,
            tell=self._tell,
            spawn=self._tasks.create_task,
            observer=parts.observer,
            rails=self._rails,
        )

    @property
    def lane_count(self) -> int:
        """Lanes with something to do."""
        return len(self._lanes)

    @property
    def position(self) -> int:
        """The next offset to fetch."""
        return self._settlement.position

    @property
    def is_refused(self) -> bool:
        """Whether its answers were not taken several times in a row."""
        return self._settlement.failures >= REFUSED

    @property
    def incomplete(self) -> int:
        """Commands fetched and not answered."""
        return self._ledger.incomplete

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

    def waits(self) -> Iterator[LaneWait]:
        """What each lane waits for."""
        now = self._parts.clock.monotonic()
        for lane in self._lanes:
            venue, account, name = lane.key
            yield LaneWait(
                venue=venue,
                account=account,
                lane=name,
                commands=lane.commands,
                reason=lane.rest.reason,
                seconds=None if lane.rest.until == inf else round(max(0.0, lane.rest.until - now), 3),
            )

    def checkpoint(self, *, clean: bool = False) -> Checkpoint | None:
        """What to commit now; None after it is lost."""
        if self.state == "gone":
            return None
        point = self._ledger.checkpoint(clean=clean)
        if clean:
            return point._replace(called_at=max(self._others_called_at, self._lanes.called_at))
        return point._replace(is_anew=self._is_former_under_way())

    async def run(self) -> None:
        """Work until cancelled or lost."""
        try:
            async with self._tasks as tasks:
                self._follow_policy(tasks)
                if self._has_twin:
                    tasks.create_task(self._outlive_twin())
                try:
                    await self._settlement.run()
                finally:
                    self.state = "gone"  # before the lanes end: nothing may be fed to them any more
                    self._lanes.close()
        except* NotOwnerError:
            pass

    def _follow_policy(self, tasks: asyncio.TaskGroup) -> None:
        guard, rails = self._parts.guard, self._rails
        if guard is not None and rails is not None:
            observer = self._parts.observer
            tasks.create_task(obey(guard, rails, self._past, forbid=self._lanes.forbid, observer=observer))

    async def _outlive_twin(self) -> None:
        """Wait until a process with our id starts no call; what is there by then it may have sent, whenever we read it.

        What comes later is ours alone, and waits for nothing but an older command of its lane.
        """
        await asyncio.sleep(max(0.0, self._twin_ends - self._parts.clock.monotonic()))
        async for attempt in AsyncRetrying(wait=wait_fixed(ASK_AGAIN)):
            with attempt:
                end = await self._ownership.end()
                self._quarantined_below = max(self._quarantined_below, end)
                self._has_twin = False

    def _is_former_under_way(self) -> bool:
        """Whether calls for commands of a topic that was deleted since may still take effect."""
        return self._parts.clock.monotonic() < self._former_ends

    def _may_begin(self) -> bool:
        return self._rails is None or self._rails.may_call

    def feed(self, records: Sequence[CommandRecord]) -> None:
        """Take records in, in order of offset."""
        if self.state != "running":
            return
        if records and (self._has_twin or self._is_former_under_way()):  # who reads them too, or called for any lane
            self._quarantined_below = max(self._quarantined_below, records[-1].offset + 1)
        touched: dict[Lane, None] = {}
        for record in records:
            self._see_answered(record)
            if self._ledger.fetch(record.offset):
                lane = self._take_in(record)
                if lane is not None:
                    touched[lane] = None
        for lane in touched:
            self._lanes.advance(lane)

    def _see_answered(self, record: CommandRecord) -> None:
        """Believe an answer only where it is of this command: a topic made anew gives its offsets a second time."""
        known = self._ledger.answered_as(record.offset)
        if known is None:
            return
        is_believed = not self._is_made_anew if record.unreadable else is_of(known, record.value, record.headers)
        if is_believed:
            return
        self._ledger.retract(record.offset)
        if not self._is_made_anew:
            self._is_made_anew = True
            why = f"what is at offset {record.offset} is not the command that was answered there"
            self._parts.observer.began_anew(self._parts.policy.topic, record.partition, why)

    async def drain(self, patience: float) -> Checkpoint | None:
        """Start nothing new, give what is in flight its time, and say what to commit on leaving."""
        if self.state != "running":
            return None
        self.state = "draining"
        self._fence.is_draining = True
        try:
            async with asyncio.timeout(patience):
                await self._lanes.idle()
                await self._settlement.idle()
        except TimeoutError:
            return self.checkpoint()
        return self.checkpoint(clean=self._is_settled())

    def _is_settled(self) -> bool:
        """Whether nothing can be under way at a venue, of ours or of a predecessor's."""
        if self._has_twin or self._parts.clock.monotonic() < self._quarantine_ends:
            return False
        return self._ledger.checkpoint().offset >= self._quarantined_below and self._lanes.is_quiet()

    def _was_quiet(self, inheritance: Inheritance) -> bool:
        """Whether no call of a predecessor can count against a limit any more."""
        window = self._parts.policy.repeat_window
        is_known = window.count > 0 and window.age >= QUIET
        return not inheritance.had_commands or (
            is_known and inheritance.was_quiet_since(self._parts.clock.wall() - QUIET)
        )

    def _last_call_of_others(self, inheritance: Inheritance) -> float:
        """The latest that a call of a predecessor may count from: of one that did not tell, now."""
        if not self._predecessor:
            return inheritance.checkpoint.called_at or 0.0
        return self._parts.clock.wall() + max(0.0, self._others_call_until - self._parts.clock.monotonic())

    def _take_in(self, record: CommandRecord) -> Lane | None:
        read = self._parts.intake.read(record, suspect=record.offset < max(self._quarantined_below, self._untold_below))
        if isinstance(read, Answer) and read.command is None:
            self._settle(read)
            return None
        command = read if isinstance(read, Command) else read.command
        if command is None or self._is_repeat(command):
            return None
        self._held[command.venue] += 1
        lane = self._lanes.lane(command.lane)
        if isinstance(read, Answer):
            self._settle(read)
            lane.answered(command.offset)
        elif record.offset < self._untold_below:
            self._leave_untold(command, lane)
        elif (refusal := self._forbidden(command, lane)) is not None:
            self._refuse(command, lane, refusal)
        elif not self._latest_wins(command.venue) and lane.length >= self._parts.policy.max_lane_queue:
            message = f"{lane.length} commands wait in lane {lane.key[2]} already"
            self._refuse(command, lane, Refusal(reason="rate_limited", message=message))
        else:
            self._admit(command, lane)
        return lane

    def _forbidden(self, command: Command, lane: Lane) -> Refusal | None:
        """What the policy says at once; not of what a predecessor may have sent, which is looked at first."""
        if self._rails is None or command.offset < self._quarantined_below:
            return None
        return self._rails.admit(command.command, is_first=lane.is_idle)

    def _refuse(self, command: Command, lane: Lane, refusal: Refusal) -> None:
        now = self._parts.clock.wall()
        self._settle(answers.of_refusal(command, refusal, topic=self._parts.policy.topic, now=now))
        lane.answered(command.offset)

    def _leave_untold(self, command: Command, lane: Lane) -> None:
        """Answer a command that may have been answered before: sent again, it could undo a newer one."""
        self._refuse(command, lane, Refusal(reason="outcome_unknown", message=UNTOLD))
        self._untold.add(command.lane)

    def _is_repeat(self, command: Command) -> bool:
        key, command_id = command.command.key, command.command.command_id
        repeat = self._repeats.is_repeat(key, command_id, self._parts.clock.wall())
        if repeat:
            self._ledger.answer(command.offset)
            self._parts.observer.repeated(command)
        else:
            self._repeats.open(key, command_id)
        return repeat

    def _admit(self, command: Command, lane: Lane) -> None:
        is_inherited = command.offset < self._quarantined_below
        if is_inherited or command.lane in self._untold:  # newer ones are not sent before it is known what became of it
            lane.rest_until(self._quarantine_ends)
        venue, account, _ = command.lane
        if self._predecessor and (venue, account) not in self._met:
            self._met.add((venue, account))
            self._parts.callers[venue].assume_spent(account, self._others_call_until)
        lane.admit(command, is_inherited=is_inherited)

    def _latest_wins(self, venue: VenueName) -> bool:
        return self._parts.lanes[venue].latest_wins

    def _is_crowded(self, venue: VenueName) -> bool:
        """Whether a venue's commands hold more of the partition's room than they leave.

        So nobody waits for one that is silent or has banned us: while it stalls it keeps half of the room, two of them
        keep two thirds, and what comes for them beyond that is refused at once. The commands of one that moves are
        never refused for want of room: then fetching pauses.
        """
        return self._held[venue] > max(1, self._parts.policy.max_incomplete - self.incomplete)

    def _tell(self, tell: Tell) -> None:
        self._settle(self._verdicts.answer(tell))

    def _settle(self, answer: Answer) -> None:
        if answer.dead_letter is not None and answer.command is not None and self._is_braked(answer.command.venue):
            answer = answers.without_dead_letter(answer)
        self._settlement.add(answer)

    def _is_braked(self, venue: VenueName) -> bool:
        if self._parts.brake.allows(venue, self._parts.clock.monotonic()):
            return False
        self._parts.observer.braked(venue)
        return True

    def _committed(self, committed: Sequence[Answer]) -> None:
        touched: dict[Lane, None] = {}
        for answer in committed:
            self._say(answer)
            command = answer.command
            if command is not None and (lane := self._lanes.committed(command.lane, command.offset)) is not None:
                touched[lane] = None
        for lane in touched:
            self._lanes.advance(lane)

    def _say(self, answer: Answer) -> None:
        observer, command, event = self._parts.observer, answer.command, answer.event
        if command is not None:
            self._held[command.venue] -= 1
        if command is not None and event is not None:
            self._repeats.answered(event.key, event.command_id, event.occurred_at.timestamp())
            if self._rails is not None and isinstance(event, LeverageChanged):
                self._rails.learn(command.lane, event.leverage, event.occurred_at.timestamp())
            observer.answered(command, event, self._parts.clock.monotonic() - command.received_at)
        if answer.dead_letter is not None:
            letter = answer.dead_letter
            observer.dead_lettered(answer.record, command, letter.stage, letter.reason, letter.message)
