"""The desk of whoever is on call: every verb on dead letters, for the command line and whoever else serves them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from msgspec.structs import replace

from gateway.client.dead_letters import batches as batch_log
from gateway.client.dead_letters.brakes import brakes_now
from gateway.client.dead_letters.codes import VenueCodes
from gateway.client.dead_letters.coverage import Coverage, coverage
from gateway.client.dead_letters.detail import LetterDetail, letter_detail
from gateway.client.dead_letters.dispositions import LetterStates
from gateway.client.dead_letters.drafts import Draft, NotMendableError, make_draft, mended_command
from gateway.client.dead_letters.groups import GroupBy, LetterCounts, LetterGroup
from gateway.client.dead_letters.health import Brake
from gateway.client.dead_letters.known import Known
from gateway.client.dead_letters.letters import Filters, Letter, LetterRow, matches
from gateway.client.dead_letters.log import LetterLog, Place
from gateway.client.dead_letters.members import has_members
from gateway.client.dead_letters.plan import LetterVerdict, Plan, PlanError, PlannedLetter, parse_place
from gateway.client.dead_letters.publishing import open_publisher
from gateway.client.dead_letters.redrive import Redrive, RedriveOptions, Surroundings
from gateway.client.dead_letters.verdicts import GONE, Rules, judge, newest_of_lanes
from gateway.client.dead_letters.writes import Act, mended, new_command_id
from gateway.client.ids import CommandIds
from gateway.client.reading import Range, TopicReader, open_reader
from gateway.clock import Clock, SystemClock
from schemas import Timestamp
from schemas.disposition import DeadLetterDisposition, DispositionState
from schemas.topics import Topics

LARGEST_WRITE = 100  # dispositions in one transaction
CHUNK = 1_000  # letters whose events are looked for together


class _Match(NamedTuple):
    """A letter that matches, and with a limit how far was looked when it was found."""

    letter: Letter
    row: LetterRow
    reached: dict[int, int] | None


class DeadLetters:
    """All there is to do with dead letters; use it by `open_dead_letters`."""

    def __init__(
        self, reader: TopicReader, topics: Topics, *, kafka: Mapping[str, Any], group: str, clock: Clock
    ) -> None:
        self._log = LetterLog(reader, topics)
        self._topics = topics
        self._kafka = kafka
        self._group = group
        self._clock = clock

    # --- see ---

    async def rows(
        self, filters: Filters, *, oldest_first: bool = False, limit: int | None = None
    ) -> AsyncGenerator[LetterRow | Coverage]:
        """Yield the letters that match, newest first, and last what was looked at."""
        ranges = await self._log.ranges(filters.partition or None)
        count, reached = 0, None
        async for found in self._matching(ranges, filters, oldest_first=oldest_first, most=limit):
            yield found.row
            count += 1
            if count == limit:
                reached = found.reached
                break
        yield coverage(_looked_at(ranges, reached, oldest_first=oldest_first), ranges)

    async def groups(self, filters: Filters, by: Sequence[GroupBy]) -> tuple[list[LetterGroup], list[Brake], Coverage]:
        """Count the letters that match, by each of these; and say what brakes leave out."""
        groups, ranges = LetterCounts(by), await self._log.ranges(filters.partition or None)
        with_codes = bool({"code", "fingerprint"} & set(by))
        async for found in self._matching(ranges, filters, with_codes=with_codes):
            groups.add(found.letter, found.row)
        brakes = await brakes_now(self._log, self._clock.wall())
        return groups.largest_first(), brakes, coverage(ranges, ranges)

    async def show(self, place: str) -> tuple[LetterDetail | None, Coverage]:
        """All there is of one letter; None where it is not on the topic."""
        where = parse_place(place)
        ranges = await self._log.ranges([where[0]])
        detail = await letter_detail(self._log, where)
        looked_at = {where[0]: Range(where[1], where[1] + 1)} if detail is not None else ranges
        return detail, coverage(looked_at, looked_at)

    # --- judge and redrive ---

    async def plan(self, filters: Filters, places: Sequence[str] = (), *, max_redrives: int) -> tuple[Plan, Coverage]:
        """Judge the letters that match, or those that are named, and pin them; nothing is written."""
        named = [parse_place(place) for place in places]
        partitions = sorted({partition for partition, _ in named}) or filters.partition or None
        ranges = await self._log.ranges(partitions)
        if named:
            letters = list((await self._log.at(named, self._log.read)).values())
        else:
            letters = [found.letter async for found in self._matching(ranges, filters, with_codes=False)]
        verdicts = await self._judge(letters, ranges, max_redrives)
        missing = {place for place in places if place not in {row.letter for row in verdicts}}
        verdicts += [PlannedLetter(letter=place, verdict=GONE.verdict, why=GONE.why) for place in missing]
        plan = Plan(
            batch=_new_batch(),
            made_at=self._now(),
            cluster=_cluster(self._kafka),
            topic=self._topics.dead_letters,
            letters=sorted(verdicts, key=lambda row: parse_place(row.letter)),
        )
        return plan, coverage(ranges, ranges)

    async def apply(
        self,
        plan: Plan,
        options: RedriveOptions,
        *,
        stop: asyncio.Event | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> AsyncGenerator[LetterVerdict]:
        """Publish what still would apply, each letter judged again; as `Redrive.run` says.

        `stop` ends it in order when it is set; `tell` is told again and again why it waits.

        Raises:
            PlanError: the plan is for another topic.
        """
        if plan.topic != self._topics.dead_letters:
            raise PlanError(
                f"the plan is for the topic {plan.topic}, and the settings name {self._topics.dead_letters}"
            )
        around = Surroundings(
            log=self._log,
            kafka=self._kafka,
            group=self._group,
            clock=self._clock,
            is_answered=await has_members(self._kafka, self._group),
            stop=stop or asyncio.Event(),
            tell=tell or _ignore,
        )
        async for row in Redrive(plan, options, around).run():
            yield row

    # --- follow ---

    async def batches(self) -> tuple[list[batch_log.Batch], Coverage]:
        """Redrives so far, newest first, and what was looked at of the topic of dispositions."""
        ranges = await self._log.reader.ranges(self._topics.dispositions)
        return await batch_log.batches(self._log), coverage(ranges, ranges)

    async def batch(self, name: str) -> AsyncGenerator[batch_log.BatchLetter | Coverage]:
        """Yield each letter of a redrive and what its command came to, and last what was looked at of the events."""
        async for row in batch_log.batch_letters(self._log, name):
            yield row if isinstance(row, batch_log.BatchLetter) else coverage(row, row)

    # --- put aside and mend ---

    async def put(
        self, places: Iterable[str], *, state: DispositionState, operator: str, note: str
    ) -> AsyncGenerator[DeadLetterDisposition]:
        """Record `archived` or `open` for each of these letters that is there and in the other of the two."""
        by_partition: dict[int, list[Place]] = {}
        for place in map(parse_place, places):
            by_partition.setdefault(place[0], []).append(place)
        batch, before = _new_batch(), "open" if state == "archived" else "archived"
        for partition, named in sorted(by_partition.items()):
            async with open_publisher(self._kafka, self._topics, group=self._group, partition=partition) as publisher:
                ranges = await self._log.ranges([partition])
                states = await LetterStates.open(self._log.reader, self._topics, ranges)
                there = await self._log.at(named, _is_there)
                fresh = [
                    DeadLetterDisposition(
                        letter=f"{place[0]}:{place[1]}",
                        state=state,
                        batch=batch,
                        operator=operator,
                        note=note,
                        at=self._now(),
                    )
                    for place in named
                    if place in there and states.at(place) == before
                ]
                for start in range(0, len(fresh), LARGEST_WRITE):
                    part = fresh[start : start + LARGEST_WRITE]
                    await publisher.publish([(None, one) for one in part])
                    for one in part:
                        yield one

    async def export(self, place: str) -> Draft:
        """The bytes of an undecodable letter, to be corrected; NotMendableError where it is a command, or gone."""
        where = parse_place(place)
        found = (await self._log.records_at([where])).get(where)
        if found is None:
            raise NotMendableError(f"letter {place} is no longer on the topic")
        return make_draft(found, self._topics.dead_letters)

    async def mend(self, draft: Draft, *, operator: str, note: str) -> DeadLetterDisposition:
        """Publish the corrected command of a draft, and record it, once.

        Raises:
            DraftError: the command is none yet, or of another venue or account.
            NotMendableError: the letter is not the one that was exported, or something was done with it.
            TakenOverError: somebody else works on its partition.
        """
        place = parse_place(draft.letter)
        if draft.topic != self._topics.dead_letters:
            raise NotMendableError(f"the draft is of the topic {draft.topic}, not {self._topics.dead_letters}")
        async with open_publisher(self._kafka, self._topics, group=self._group, partition=place[0]) as publisher:
            ranges = await self._log.ranges([place[0]])
            state = (await LetterStates.open(self._log.reader, self._topics, ranges)).at(place)
            found = (await self._log.records_at([place])).get(place)
            if found is None or state != "open":
                raise NotMendableError(f"letter {draft.letter} is {'gone' if found is None else state} already")
            act = Act(topic=self._topics.dead_letters, batch=_new_batch(), operator=operator, note=note, at=self._now())
            command_id = new_command_id(act.topic, draft.letter, found.letter.redrives + 1)
            write = mended(found, act, mended_command(draft, found, command_id=command_id, now=act.at))
            await publisher.publish([write])
        return write[1]

    # --- all of them ---

    async def _matching(
        self,
        ranges: Mapping[int, Range],
        filters: Filters,
        *,
        oldest_first: bool = False,
        with_codes: bool = True,
        most: int | None = None,
    ) -> AsyncGenerator[_Match]:
        """Hand out the letters that match, in chunks for which their events are looked up together."""
        states = await LetterStates.open(self._log.reader, self._topics, ranges)
        codes = VenueCodes(self._log) if with_codes or filters.code else None
        size = CHUNK if most is None or filters.code else min(CHUNK, most)
        chunk: list[_Match] = []
        async for letter, reached in self._log.letters(ranges, oldest_first=oldest_first):
            row = LetterRow.of(letter, state=states.of(letter), code=None)
            if matches(letter, row, filters):
                chunk.append(_Match(letter, row, None if most is None else dict(reached)))
            if len(chunk) == size:
                for found in await self._with_codes(chunk, codes, filters):
                    yield found
                chunk = []
        for found in await self._with_codes(chunk, codes, filters):
            yield found

    async def _with_codes(self, chunk: Sequence[_Match], codes: VenueCodes | None, filters: Filters) -> list[_Match]:
        """These letters with their venues' codes, as far as they match by them too."""
        if codes is None:
            return list(chunk)
        said = await codes.of([found.letter for found in chunk])
        rows: list[_Match] = []
        for found in chunk:
            code = said.get((found.letter.partition, found.letter.offset))
            if not filters.code or code in filters.code:
                rows.append(found._replace(row=replace(found.row, code=code)))
        return rows

    async def _judge(
        self, letters: Sequence[Letter], ranges: Mapping[int, Range], max_redrives: int
    ) -> list[PlannedLetter]:
        states = await LetterStates.open(self._log.reader, self._topics, ranges)
        known = await Known.open(self._log.reader, self._topics, letters)
        newest = newest_of_lanes([letter for letter in letters if states.of(letter) == "open"])
        verdicts: list[PlannedLetter] = []
        for letter in letters:
            last = letter if letter.lane_key is None else newest.get(letter.lane_key, letter)
            said = judge(
                letter,
                state=states.of(letter),
                lane=known.lane_of(letter),
                newer_letter=last.place if last.offset > letter.offset else None,
                now=self._now(),
                rules=Rules(max_redrives=max_redrives),
            )
            verdicts.append(
                PlannedLetter(
                    letter=letter.place,
                    verdict=said[0].verdict,
                    why=said[0].why,
                    command_id=None if letter.command is None else letter.command.command_id,
                )
            )
        return verdicts

    def _now(self) -> Timestamp:
        return Timestamp.from_epoch(self._clock.wall())


@asynccontextmanager
async def open_dead_letters(
    kafka: Mapping[str, Any],
    topics: Topics | None = None,
    *,
    group: str = "leverage-gateway",
    clock: Clock | None = None,
    check_crcs: bool = True,
) -> AsyncGenerator[DeadLetters]:
    """Connect, and yield the desk.

    Args:
        kafka: aiokafka's options: `bootstrap_servers`, and how to log in.
        topics: the gateway's, where they have other names.
        group: the gateway's; redrives' transactional ids begin with it.
        clock: the time.
        check_crcs: False for librdkafka's mock broker, whose transaction markers have none.
    """
    async with open_reader({**kafka, "check_crcs": check_crcs}) as reader:
        yield DeadLetters(reader, topics or Topics(), kafka=kafka, group=group, clock=clock or SystemClock())


def _looked_at(
    ranges: Mapping[int, Range], reached: Mapping[int, int] | None, *, oldest_first: bool
) -> Mapping[int, Range]:
    if reached is None:
        return ranges
    if oldest_first:
        return {number: Range(span.begin, reached[number]) for number, span in ranges.items()}
    return {number: Range(reached[number], span.end) for number, span in ranges.items()}


def _new_batch() -> str:
    return f"rd-{CommandIds()()}"


def _is_there(_record: Any) -> bool:
    return True


def _ignore(_why: str) -> None:
    """Nobody asked why it waits."""


def _cluster(kafka: Mapping[str, Any]) -> str:
    servers = kafka.get("bootstrap_servers", "")
    return servers if isinstance(servers, str) else ",".join(map(str, servers))
