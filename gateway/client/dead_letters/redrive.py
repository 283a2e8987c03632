"""Sends the letters of a plan again: each judged once more at that moment, each at most once, in steps that grow."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from gateway.client.dead_letters.known import Known
from gateway.client.dead_letters.letters import Letter
from gateway.client.dead_letters.plan import LetterVerdict, Plan, parse_place
from gateway.client.dead_letters.publishing import NewCommand, open_publisher
from gateway.client.dead_letters.verdicts import Judgement, Rules, Verdict, decide, judge
from gateway.client.reading import Range, TopicReader
from gateway.clock import Clock
from schemas import Timestamp, encode
from schemas.disposition import DeadLetterDisposition
from schemas.headers import REDRIVE_BATCH, REDRIVE_COUNT
from schemas.topics import Topics

FIRST_STEP, LARGEST_STEP = 1, 64  # letters in one transaction
LOOK_AGAIN = 0.25  # seconds between two looks for answers
ANSWERS_WITHIN = 60.0  # seconds for the answers of one step, where their share is asked for
_NAMESPACE = UUID("5f0c7f0e-0c55-5a0f-9d3e-7a3f8f6f2d11")


class StoppedError(Exception):
    """Raised where a redrive stopped by its own rule before its plan was done; the same plan goes on from there."""


class RedriveOptions(Struct, frozen=True, kw_only=True):
    """How one plan is applied; times in seconds."""

    operator: str
    note: str
    rate: float | None = None  # letters a second
    stop_at: float | None = None  # share of answers that are a rejection again
    expires_in: float | None = None
    force: frozenset[Verdict] = frozenset()
    max_redrives: int = 3


def new_command_id(topic: str, place: str, redrives: int) -> str:
    """The id of a letter's n-th redrive: the same redrive twice is a repeat to the gateway."""
    return str(uuid5(_NAMESPACE, f"{topic}/{place}/{redrives}"))


class Redrive:
    """One application of one plan."""

    def __init__(
        self,
        plan: Plan,
        options: RedriveOptions,
        *,
        topics: Topics,
        group: str,
        kafka: Mapping[str, Any],
        reader: TopicReader,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._plan = plan
        self._options = options
        self._rules = Rules(max_redrives=options.max_redrives, has_new_expiry=options.expires_in is not None)
        self._topics = topics
        self._group = group
        self._kafka = kafka
        self._reader = reader
        self._clock = clock
        self._sleep = sleep
        self._step = FIRST_STEP
        self._sent: dict[str, str] = {}  # our commands' ids that are not answered yet, to the letter
        self._answered, self._failed = 0, 0

    async def run(self) -> AsyncGenerator[LetterVerdict]:
        """Yield each letter's verdict as judged anew, `apply` being what was published.

        Raises:
            TakenOverError: somebody else applies a plan to the same partition.
            StoppedError: too many failed again, or none was answered.
        """
        chosen: dict[int, list[int]] = {}
        for row in self._plan.letters:
            partition, offset = parse_place(row.letter)
            if self._is_meant(row.verdict):
                chosen.setdefault(partition, []).append(offset)
        for partition, offsets in sorted(chosen.items()):
            async with open_publisher(self._kafka, self._topics, group=self._group, partition=partition) as publisher:
                known = Known(self._topics, partitions=[partition])
                await known.read_on(self._reader)
                newest = await self._newest_of_lanes(partition, offsets, known)
                left = sorted(set(offsets))
                while left:
                    step, left = left[: self._step], left[self._step :]
                    await known.read_on(self._reader)
                    letters = await self._letters(partition, step)
                    rows, writes = self._judge(partition, step, letters, newest, known)
                    if writes:
                        await publisher.publish(writes)
                    for row in rows:
                        yield row
                    await self._after_step(len(writes), known)

    def _is_meant(self, verdict: Verdict) -> bool:
        has_new_life = verdict == "expired" and self._options.expires_in is not None
        return verdict == "apply" or verdict in self._options.force or has_new_life

    async def _letters(self, partition: int, offsets: Sequence[int]) -> dict[int, Letter]:
        span = (await self._reader.ranges(self._topics.dead_letters, [partition])).get(partition)
        if span is None:
            return {}
        wanted, found = set(offsets), dict[int, Letter]()
        bounds = Range(max(span.begin, min(wanted)), min(span.end, max(wanted) + 1))
        async for records in self._reader.forwards(self._topics.dead_letters, {partition: bounds}):
            found.update((record.offset, Letter.read(record)) for record in records if record.offset in wanted)
        return found

    async def _newest_of_lanes(self, partition: int, offsets: Sequence[int], known: Known) -> dict[Any, int]:
        newest: dict[Any, int] = {}
        for start in range(0, len(offsets), LARGEST_STEP):
            letters = await self._letters(partition, sorted(offsets)[start : start + LARGEST_STEP])
            for offset, letter in letters.items():
                if letter.lane_key is not None and known.state_of(letter.place) == "open":
                    newest[letter.lane_key] = max(offset, newest.get(letter.lane_key, -1))
        return newest

    def _judge(
        self,
        partition: int,
        step: Sequence[int],
        letters: Mapping[int, Letter],
        newest: Mapping[Any, int],
        known: Known,
    ) -> tuple[list[LetterVerdict], list[tuple[NewCommand | None, DeadLetterDisposition]]]:
        rows: list[LetterVerdict] = []
        writes: list[tuple[NewCommand | None, DeadLetterDisposition]] = []
        now = Timestamp.from_epoch(self._clock.wall())
        for offset in step:
            letter, place = letters.get(offset), f"{partition}:{offset}"
            state = known.state_of(place)
            if letter is None:
                gone = Judgement("gone", "it is no longer on the topic")
                rows.append(LetterVerdict.of(place, Judgement("done", f"it is {state}") if state != "open" else gone))
                continue
            last = newest.get(letter.lane_key, offset)
            said = judge(
                letter,
                state=state,
                lane=known.lane_of(letter),
                newer_letter=f"{partition}:{last}" if last > offset else None,
                now=now,
                rules=self._rules,
            )
            judgement, forced = decide(said, self._options.force)
            rows.append(LetterVerdict.of(place, judgement))
            if judgement.verdict == "apply":
                writes.append(self._write(letter, now, forced))
        return rows, writes

    def _write(self, letter: Letter, now: Timestamp, forced: str | None) -> tuple[NewCommand, DeadLetterDisposition]:
        if letter.command is None:
            raise RuntimeError(f"letter {letter.place} is no command, and was judged to be one")
        redrives = letter.redrives + 1
        expires_in = self._options.expires_in
        command = msgspec.structs.replace(
            letter.command,
            command_id=new_command_id(self._topics.dead_letters, letter.place, redrives),
            redrive_of=letter.command.command_id,
            issued_at=now,
            expires_at=letter.command.expires_at
            if expires_in is None
            else Timestamp.from_epoch(self._clock.wall() + expires_in),
        )
        ours = [(REDRIVE_BATCH, self._plan.batch.encode()), (REDRIVE_COUNT, b"%d" % redrives)]
        record = NewCommand(letter.key, encode(command, letter.content_type), [*letter.headers_to_send(), *ours])
        disposition = DeadLetterDisposition(
            letter=letter.place,
            state="redriven",
            batch=self._plan.batch,
            operator=self._options.operator,
            note=self._options.note,
            at=now,
            command_id=command.command_id,
            redrives=redrives,
            forced=forced,
        )
        self._sent[command.command_id] = letter.place
        return record, disposition

    async def _after_step(self, count: int, known: Known) -> None:
        """Keep to the rate, and where a share was named look what became of the step before a larger one."""
        if count and self._options.rate is not None:
            await self._sleep(count / self._options.rate)
        if count and self._options.stop_at is not None:
            await self._wait_for_answers(known)
        if count:
            self._step = min(LARGEST_STEP, self._step * 2)

    async def _wait_for_answers(self, known: Known) -> None:
        until = self._clock.monotonic() + ANSWERS_WITHIN
        while True:
            await known.read_on(self._reader)
            for command_id in [one for one in self._sent if one in known.outcomes]:
                del self._sent[command_id]
                self._answered += 1
                self._failed += known.outcomes[command_id] not in ("changed", "superseded")
            stop_at = self._options.stop_at
            if stop_at is not None and self._failed and self._failed / self._answered >= stop_at:
                raise StoppedError(f"{self._failed} of {self._answered} that were answered failed again (--stop-at)")
            if not self._sent:
                return
            if self._clock.monotonic() >= until:
                raise StoppedError(f"{len(self._sent)} that were sent are not answered within {ANSWERS_WITHIN:g} s")
            await self._sleep(LOOK_AGAIN)
