"""The desk of whoever is on call: every verb on dead letters, for the command line and whoever else serves them."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import Struct

from gateway.client.dead_letters.known import Known
from gateway.client.dead_letters.letters import Filters, Letter, LetterRow, matches
from gateway.client.dead_letters.plan import LetterVerdict, Plan, PlanError, parse_place
from gateway.client.dead_letters.publishing import open_publisher
from gateway.client.dead_letters.redrive import Redrive, RedriveOptions
from gateway.client.dead_letters.verdicts import Judgement, Rules, judge
from gateway.client.ids import CommandIds
from gateway.client.reading import Range, TopicReader, open_reader
from gateway.clock import Clock, SystemClock
from schemas import Timestamp
from schemas.disposition import DeadLetterDisposition, DispositionState
from schemas.topics import Topics

LARGEST_WRITE = 100  # dispositions in one transaction


class PartitionCoverage(Struct, frozen=True, kw_only=True, rename={"begin": "from", "end": "to"}):
    """What was looked at of one partition: from this offset to the first that was not looked at."""

    partition: int
    begin: int
    end: int


class Coverage(Struct, frozen=True, kw_only=True, tag_field="type", tag="Coverage"):
    """What an answer rests on, and whether that is all there was."""

    partitions: list[PartitionCoverage]
    complete: bool


class DeadLetters:
    """All there is to do with dead letters; use it by `open_dead_letters`."""

    def __init__(
        self, reader: TopicReader, topics: Topics, *, kafka: Mapping[str, Any], group: str, clock: Clock
    ) -> None:
        self._reader = reader
        self._topics = topics
        self._kafka = kafka
        self._group = group
        self._clock = clock

    async def rows(
        self, filters: Filters, *, oldest_first: bool = False, limit: int | None = None
    ) -> AsyncGenerator[LetterRow | Coverage]:
        """Yield the letters that match, newest first, and last what was looked at."""
        known = Known(self._topics, partitions=filters.partition or None)
        await known.read_on(self._reader)
        ranges = await self._reader.ranges(self._topics.dead_letters, filters.partition or None)
        count, looked_at = 0, dict(ranges)
        async for record, spans in self._records(ranges, oldest_first=oldest_first):
            letter = Letter.read(record)
            row = LetterRow.of(letter, state=known.state_of(letter.place), code=known.code_of(letter))
            if not matches(row, filters):
                continue
            yield row
            count += 1
            if count == limit:
                looked_at = spans
                break
        yield _coverage(looked_at, ranges)

    async def _records(
        self, ranges: Mapping[int, Range], *, oldest_first: bool
    ) -> AsyncGenerator[tuple[Any, dict[int, Range]]]:
        topic = self._topics.dead_letters
        if not oldest_first:
            async for record, reached in self._reader.newest_first(topic, ranges):
                yield record, {number: Range(reached[number], span.end) for number, span in ranges.items()}
            return
        ends = {number: span.begin for number, span in ranges.items()}
        async for records in self._reader.forwards(topic, ranges):
            for record in records:
                ends[record.partition] = record.offset + 1
                yield record, {number: Range(span.begin, ends[number]) for number, span in ranges.items()}

    async def plan(self, filters: Filters, places: Sequence[str] = (), *, max_redrives: int) -> tuple[Plan, Coverage]:
        """Judge the letters that match, or those that are named, and pin them; nothing is written."""
        partitions = sorted({parse_place(place)[0] for place in places}) or filters.partition or None
        known = Known(self._topics, partitions=partitions)
        await known.read_on(self._reader)
        ranges = await self._reader.ranges(self._topics.dead_letters, partitions)
        now, rules = Timestamp.from_epoch(self._clock.wall()), Rules(max_redrives=max_redrives)
        verdicts: list[LetterVerdict] = []
        last_of_lane: dict[Any, str] = {}
        async for record, _ in self._reader.newest_first(self._topics.dead_letters, ranges):
            letter = Letter.read(record)
            state = known.state_of(letter.place)
            row = LetterRow.of(letter, state=state, code=known.code_of(letter))
            if letter.place not in places if places else not matches(row, filters):
                continue
            newer = last_of_lane.get(letter.lane_key)
            said = judge(letter, state=state, lane=known.lane_of(letter), newer_letter=newer, now=now, rules=rules)
            verdicts.append(LetterVerdict.of(letter.place, said[0]))
            if letter.lane_key is not None and state == "open":
                last_of_lane.setdefault(letter.lane_key, letter.place)
        missing = [place for place in places if place not in {row.letter for row in verdicts}]
        verdicts += [LetterVerdict.of(place, Judgement("gone", "it is no longer on the topic")) for place in missing]
        plan = Plan(
            batch=f"rd-{CommandIds()()}",
            made_at=now,
            cluster=_cluster(self._kafka),
            topic=self._topics.dead_letters,
            letters=sorted(verdicts, key=lambda row: parse_place(row.letter)),
        )
        return plan, _coverage(ranges, ranges)

    async def apply(self, plan: Plan, options: RedriveOptions) -> AsyncGenerator[LetterVerdict]:
        """Publish what still would apply, each letter judged again; as `Redrive.run` says.

        Raises:
            PlanError: the plan is for another topic.
        """
        if plan.topic != self._topics.dead_letters:
            raise PlanError(
                f"the plan is for the topic {plan.topic}, and the settings name {self._topics.dead_letters}"
            )
        redrive = Redrive(
            plan,
            options,
            topics=self._topics,
            group=self._group,
            kafka=self._kafka,
            reader=self._reader,
            clock=self._clock,
        )
        async for row in redrive.run():
            yield row

    async def put(
        self, places: Iterable[str], *, state: DispositionState, operator: str, note: str
    ) -> AsyncGenerator[DeadLetterDisposition]:
        """Record `archived` or `open` for each of these letters that is in the other of the two."""
        by_partition: dict[int, list[str]] = {}
        for place in places:
            by_partition.setdefault(parse_place(place)[0], []).append(place)
        batch, before = f"rd-{CommandIds()()}", "open" if state == "archived" else "archived"
        for partition, names in sorted(by_partition.items()):
            async with open_publisher(self._kafka, self._topics, group=self._group, partition=partition) as publisher:
                known = Known(self._topics, partitions=[partition])
                await known.read_on(self._reader, answers=False)
                now = Timestamp.from_epoch(self._clock.wall())
                fresh = [
                    DeadLetterDisposition(letter=name, state=state, batch=batch, operator=operator, note=note, at=now)
                    for name in names
                    if known.state_of(name) == before
                ]
                for start in range(0, len(fresh), LARGEST_WRITE):
                    part = fresh[start : start + LARGEST_WRITE]
                    await publisher.publish([(None, one) for one in part])
                    for one in part:
                        yield one


@asynccontextmanager
async def open_dead_letters(
    kafka: Mapping[str, Any],
    topics: Topics | None = None,
    *,
    group: str = "leverage-gateway",
    clock: Clock | None = None,
) -> AsyncGenerator[DeadLetters]:
    """Connect, and yield the desk.

    Args:
        kafka: aiokafka's options: `bootstrap_servers`, and how to log in.
        topics: the gateway's, where they have other names.
        group: the gateway's; redrives' transactional ids begin with it.
        clock: the time.
    """
    async with open_reader(kafka) as reader:
        yield DeadLetters(reader, topics or Topics(), kafka=kafka, group=group, clock=clock or SystemClock())


def _coverage(looked_at: Mapping[int, Range], there: Mapping[int, Range]) -> Coverage:
    rows = [
        PartitionCoverage(partition=number, begin=span.begin, end=span.end)
        for number, span in sorted(looked_at.items())
    ]
    return Coverage(partitions=rows, complete=dict(looked_at) == dict(there))


def _cluster(kafka: Mapping[str, Any]) -> str:
    servers = kafka.get("bootstrap_servers", "")
    return servers if isinstance(servers, str) else ",".join(map(str, servers))


def to_row(message: Struct) -> Any:
    """A message of this room as plain values, for JSON."""
    return msgspec.to_builtins(message, enc_hook=str)
