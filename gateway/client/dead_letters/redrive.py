"""Sends the letters of a plan again: each judged once more at that moment, each at most once, in steps that grow.

Whoever applies a plan has all its partitions to himself first (`publishing`), and reads only then what was done before:
so killed and begun again, or begun twice, every letter is sent once.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, NamedTuple

from msgspec import Struct

from gateway.client.dead_letters.dispositions import LetterStates
from gateway.client.dead_letters.known import Known
from gateway.client.dead_letters.letters import Letter, LetterRecord
from gateway.client.dead_letters.log import LetterLog, Place
from gateway.client.dead_letters.pace import Account, Pace, PacePolicy, StoppedError
from gateway.client.dead_letters.plan import LetterVerdict, Plan, parse_place
from gateway.client.dead_letters.publishing import LetterPublisher, Write, open_publisher
from gateway.client.dead_letters.verdicts import GONE, Judgement, Rules, Verdict, decide, judge, newest_of_lanes
from gateway.client.dead_letters.writes import Act, redriven
from gateway.client.lanes import LaneKey
from gateway.clock import Clock
from schemas import Timestamp

LOOK_AGAIN = 0.1  # seconds between two looks for answers
LARGEST_LOOK = 1_000  # letters judged in one step


class RedriveOptions(Struct, frozen=True, kw_only=True):
    """How one plan is applied; times in seconds."""

    operator: str
    note: str
    rate: float | None = None  # letters a second
    stop_at: float | None = None  # share of answers that are a rejection again
    expires_in: float | None = None
    force: frozenset[Verdict] = frozenset()
    max_redrives: int = 3
    down_after: Mapping[str, int] = {}  # failures in a row of one account, by venue: its breaker's


def chosen_places(plan: Plan, options: RedriveOptions) -> list[Place]:
    """The letters of a plan that are judged again: those that would apply, and those that are forced or live anew."""
    meant: set[Verdict] = {"apply", *options.force}
    if options.expires_in is not None:
        meant.add("expired")
    return [parse_place(row.letter) for row in plan.letters if row.verdict in meant]


class Surroundings(NamedTuple):
    """What a redrive works with.

    Attributes:
        kafka: aiokafka's options of a producer.
        is_answered: whether a gateway is there to answer.
        stop: ends it in order when it is set.
        tell: is told why it waits.
    """

    log: LetterLog
    kafka: Mapping[str, Any]
    group: str
    clock: Clock
    is_answered: bool
    stop: asyncio.Event
    tell: Callable[[str], None]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class _Queue(NamedTuple):
    """Letters of one account on one partition; those that are no command have none."""

    partition: int
    account: Account | None


class _Step:
    """Letters of one partition that were judged together, and of them those to be sent in one transaction."""

    def __init__(self) -> None:
        self.at = Timestamp.from_epoch(0.0)
        self.partition: int | None = None
        self.rows: list[LetterVerdict] = []
        self.letters: list[Letter] = []
        self.forced: dict[str, str | None] = {}
        self.probes: set[Account] = set()


class Redrive:
    """One application of one plan."""

    def __init__(self, plan: Plan, options: RedriveOptions, around: Surroundings) -> None:
        self._plan = plan
        self._options = options
        self._rules = Rules(max_redrives=options.max_redrives, has_new_expiry=options.expires_in is not None)
        self._around = around
        self._log = around.log
        policy = PacePolicy(rate=options.rate, stop_at=options.stop_at, down_after=options.down_after)
        self._pace = Pace(policy, is_answered=around.is_answered)
        self._queues: dict[_Queue, deque[Letter]] = {}
        self._newest: dict[LaneKey, Letter] = {}

    async def run(self) -> AsyncGenerator[LetterVerdict]:
        """Yield each letter's verdict as judged anew, `apply` being what was published.

        Raises:
            TakenOverError: somebody else applies a plan to the same partition.
            StoppedError: it was told to stop, too many failed again, none was answered, or a venue stays down.
        """
        chosen = chosen_places(self._plan, self._options)
        partitions = sorted({partition for partition, _ in chosen})
        async with AsyncExitStack() as stack:
            publishers = {number: await stack.enter_async_context(self._publisher(number)) for number in partitions}
            ranges = await self._log.ranges(partitions)
            states = await LetterStates.open(self._log.reader, self._log.topics, ranges)
            letters = self._same(await self._log.at(chosen, self._log.read))
            for place in chosen:
                if place not in letters:
                    yield _missing(place, states)
            self._line_up([letters[place] for place in chosen if place in letters])
            self._newest = newest_of_lanes([one for one in letters.values() if states.of(one) == "open"])
            known = await Known.open(self._log.reader, self._log.topics, list(letters.values()))
            while self._queues:
                step = await self._next_step(known, states)
                writes = self._writes(step, await self._log.records_at(map(_place, step.letters)), known)
                if writes:
                    await publishers[step.letters[0].partition].publish(writes)
                    self._pace.sent(_accounts(step, writes), self._now(), probes=step.probes)
                for row in sorted(step.rows, key=lambda one: parse_place(one.letter)):
                    yield row
            if self._options.stop_at is not None:
                await self._wait(known, lambda: self._pace.why_wait(self._now()))

    def _now(self) -> float:
        return self._around.clock.monotonic()

    def _publisher(self, partition: int) -> AbstractAsyncContextManager[LetterPublisher]:
        return open_publisher(self._around.kafka, self._log.topics, group=self._around.group, partition=partition)

    def _same(self, found: dict[Place, Letter]) -> dict[Place, Letter]:
        """Without letters that are others than were planned: of another cluster, or of a topic that was made anew."""
        planned = {parse_place(row.letter): row.command_id for row in self._plan.letters}
        return {
            place: letter
            for place, letter in found.items()
            if planned[place] is None or (letter.command is not None and letter.command.command_id == planned[place])
        }

    def _line_up(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            key = letter.lane_key
            account = None if key is None else (key.venue, key.account)
            self._queues.setdefault(_Queue(letter.partition, account), deque()).append(letter)

    async def _next_step(self, known: Known, states: LetterStates) -> _Step:
        step = _Step()

        def why_not() -> str | None:
            why = self._pace.why_wait(self._now())
            return why or self._fill(step, known, states)

        await self._wait(known, why_not)
        return step

    async def _wait(self, known: Known, why_not: Callable[[], str | None]) -> None:
        """Look again and again what became of what was sent, until nothing speaks against going on."""
        while True:
            if self._around.stop.is_set():
                raise StoppedError("it was told to stop")
            await known.read_on()
            self._pace.heard(known.outcomes, self._now())
            why = why_not()
            if why is None:
                return
            self._around.tell(why)
            await self._around.sleep(LOOK_AGAIN)

    def _fill(self, step: _Step, known: Known, states: LetterStates) -> str | None:
        """Take the letters of one step, all of one partition, from accounts that need not wait; else say why not."""
        why: str | None = None
        step.at = Timestamp.from_epoch(self._around.clock.wall())
        for queue, letters in list(self._queues.items()):
            if step.partition not in (None, queue.partition) or len(step.letters) >= self._pace.size:
                continue
            held = self._why_hold(queue, known)
            if held is not None:
                why = held
                continue
            step.partition = queue.partition
            self._take(step, queue, known, states)
            if not letters:
                del self._queues[queue]
        return why if step.partition is None else None

    def _take(self, step: _Step, queue: _Queue, known: Known, states: LetterStates) -> None:
        """Judge letters of one account now, until the step is full; what is not to be sent takes no room in it."""
        letters, room = self._queues[queue], self._pace.size - len(step.letters)
        if queue.account is not None and self._pace.is_probe(queue.account, known.accounts[queue.account]):
            room = 1
            step.probes.add(queue.account)
        while letters and room and len(step.rows) < LARGEST_LOOK:
            letter = letters.popleft()
            judgement, forced = decide(self._against(letter, states, known, step.at), self._options.force)
            if judgement.verdict == "apply":
                step.letters.append(letter)
                step.forced[letter.place] = forced
                room -= 1
            step.rows.append(LetterVerdict.of(letter.place, judgement))

    def _why_hold(self, queue: _Queue, known: Known) -> str | None:
        if queue.account is None:
            return None
        return self._pace.why_hold(
            queue.account,
            known.accounts[queue.account],
            brake_free_at=known.brakes.free_at(queue.account[0]),
            now=self._now(),
            wall=self._around.clock.wall(),
        )

    def _writes(self, step: _Step, records: Mapping[Place, LetterRecord], known: Known) -> list[Write]:
        """What a step publishes; letters that retention took by now are said to be gone."""
        act = Act(
            topic=self._log.topics.dead_letters,
            batch=self._plan.batch,
            operator=self._options.operator,
            note=self._options.note,
            at=step.at,
        )
        life = self._options.expires_in
        expires_at = None if life is None else Timestamp.from_epoch(step.at.timestamp() + life)
        gone = {letter.place for letter in step.letters if _place(letter) not in records}
        step.rows = [LetterVerdict.of(row.letter, GONE) if row.letter in gone else row for row in step.rows]
        writes: list[Write] = []
        for letter in step.letters:
            if letter.place not in gone:
                found = records[_place(letter)]
                write = redriven(found, act, expires_at=expires_at, forced=step.forced[letter.place])
                known.wait_for(write[1].command_id or "")
                writes.append(write)
        return writes

    def _against(self, letter: Letter, states: LetterStates, known: Known, now: Timestamp) -> list[Judgement]:
        newest = letter if letter.lane_key is None else self._newest.get(letter.lane_key, letter)
        return judge(
            letter,
            state=states.of(letter),
            lane=known.lane_of(letter),
            newer_letter=newest.place if newest.offset > letter.offset else None,
            now=now,
            rules=self._rules,
        )


def _place(letter: Letter) -> Place:
    return letter.partition, letter.offset


def _accounts(step: _Step, writes: Sequence[Write]) -> dict[str, Account]:
    """The accounts of the commands of a step, by the command's id."""
    keys = {letter.place: letter.lane_key for letter in step.letters}
    accounts: dict[str, Account] = {}
    for _, disposition in writes:
        key = keys[disposition.letter]
        if key is not None and disposition.command_id is not None:
            accounts[disposition.command_id] = (key.venue, key.account)
    return accounts


def _missing(place: Place, states: LetterStates) -> LetterVerdict:
    state, name = states.at(place), f"{place[0]}:{place[1]}"
    return LetterVerdict.of(name, GONE if state == "open" else Judgement("done", f"it is {state} already"))
