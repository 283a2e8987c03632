"""`leverage-gateway dead-letters`: see what failed, judge it against now, send it again, put it aside."""

import asyncio
import getpass
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from aiokafka.errors import KafkaError
from cyclopts import App, Parameter, validators

from gateway.cli.exits import DONE, NO, UsageError
from gateway.cli.options import ConfigOption, JsonOption, read_settings
from gateway.cli.printing import print_json, print_line, print_table
from gateway.client.dead_letters import (
    Coverage,
    DeadLetters,
    Filters,
    LetterRow,
    RedriveOptions,
    Verdict,
    open_dead_letters,
    read_plan,
    write_plan,
)
from gateway.client.dead_letters.desk import to_row
from gateway.client.dead_letters.groups import GroupBy, Groups
from gateway.client.dead_letters.plan import LetterVerdict, parse_place
from gateway.kafka.bootstrap import reachable
from gateway.kafka.connection import client_options, unreachable
from gateway.settings.file import base_dir_of
from gateway.settings.tree import Settings

Positive = validators.Number(gt=0)
Texts = tuple[str, ...]
NoteOption = Annotated[str, Parameter(help="Why, for whoever looks later.")]
OperatorOption = Annotated[str | None, Parameter(help="Who does it; without it, this user of the machine.")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)  # the parser takes no Structs
class FilterOptions:
    """Which letters; each option may be given several times."""

    venue: Annotated[Texts, Parameter(help="Of these venues.")] = ()
    account: Annotated[Texts, Parameter(help="Of these accounts.")] = ()
    lane: Annotated[Texts, Parameter(help="Of these lanes.")] = ()
    reason: Annotated[Texts, Parameter(help="For these reasons.")] = ()
    issuer: Annotated[Texts, Parameter(help="Asked by these.")] = ()
    code: Annotated[Texts, Parameter(help="With these codes of the venue.")] = ()
    command_id: Annotated[Texts, Parameter(help="Of these commands.")] = ()
    partition: Annotated[tuple[int, ...], Parameter(help="On these partitions.")] = ()
    since: Annotated[str | None, Parameter(help="Failed at or after this time (RFC 3339).")] = None
    until: Annotated[str | None, Parameter(help="Failed before this time (RFC 3339).")] = None
    state: Annotated[
        Literal["open", "redriven", "archived", "all"] | None, Parameter(help="What was done with them: open.")
    ] = None


NO_FILTERS = FilterOptions()


def make_dead_letters_app() -> App:
    """The commands on dead letters."""
    app = App(name="dead-letters", help="See, judge and send again what the gateway put aside.")
    app.command(list_letters, name="list")
    for command in (groups, redrive, archive, restore):
        app.command(command)
    return app


async def list_letters(
    *,
    filters: FilterOptions = NO_FILTERS,
    oldest: Annotated[bool, Parameter(help="Oldest first.", show_default=False)] = False,
    limit: Annotated[int | None, Parameter(help="At most so many.", validator=Positive)] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Print one line a letter, newest first, and last what was looked at.

    ```sh
    leverage-gateway dead-letters list --venue binance_usdm --since 2026-11-21T08:00:00Z
    ```
    """
    settings = read_settings(config, with_accounts=False)
    chosen = make_filters(filters)
    async with (
        _desk(settings, config) as desk,
        aclosing(desk.rows(chosen, oldest_first=oldest, limit=limit)) as rows,
    ):
        async for row in rows:
            _print_row(row, json=json)
    return DONE


async def groups(
    *,
    filters: FilterOptions = NO_FILTERS,
    by: Annotated[GroupBy, Parameter(help="What makes a group.")] = "reason",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Print how many letters of which kind there are, since when and last when.

    ```sh
    leverage-gateway dead-letters groups --by venue
    ```
    """
    settings = read_settings(config, with_accounts=False)
    counted, coverage = Groups(by), None
    async with _desk(settings, config) as desk, aclosing(desk.rows(make_filters(filters))) as rows:
        async for row in rows:
            if isinstance(row, Coverage):
                coverage = row
            else:
                counted.add(row)
    found = counted.largest_first()
    if json:
        for group in found:
            print_json(to_row(group))
    else:
        cells = [(group.value or "-", group.count, group.first_at, group.last_at) for group in found]
        print_table((by, "letters", "first", "last"), cells)
    if coverage is not None:
        _print_row(coverage, json=json)
    return DONE


async def redrive(
    *letters: Annotated[str, Parameter(help="Letters by partition:offset, in place of filters.")],
    filters: FilterOptions = NO_FILTERS,
    plan: Annotated[Path | None, Parameter(help="Where to write the plan; without it none is written.")] = None,
    apply: Annotated[Path | None, Parameter(help="Publish what this plan says would apply.")] = None,
    note: Annotated[str | None, Parameter(help="Why, for whoever looks later; --apply needs it.")] = None,
    operator: OperatorOption = None,
    rate: Annotated[float | None, Parameter(help="At most so many letters a second.", validator=Positive)] = None,
    stop_at: Annotated[
        float | None,
        Parameter(help="Wait for answers, and stop where this share of them failed again.", validator=Positive),
    ] = None,
    expires_in: Annotated[
        float | None, Parameter(help="Seconds until the new commands must not be sent.", validator=Positive)
    ] = None,
    force: Annotated[tuple[Verdict, ...], Parameter(help="Verdicts to override; it is recorded.")] = (),
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Judge letters against what their lanes have now; with --apply send again what a plan says would apply.

    Without --apply nothing is published. A plan that was stopped or killed is applied again as it is: no letter is
    sent twice.

    ```sh
    leverage-gateway dead-letters redrive --venue okx --plan okx.json
    leverage-gateway dead-letters redrive --apply okx.json --note "OKX is back" --stop-at 0.2
    ```
    """
    settings = read_settings(config, with_accounts=False)
    if apply is None:
        return await _dry_run(settings, config, letters, filters, plan, json=json)
    if letters or filters != NO_FILTERS or plan is not None:
        raise UsageError("--apply takes its letters from its plan: no letters, filters or --plan beside it")
    options = RedriveOptions(
        operator=operator or getpass.getuser(),
        note=_note(note),
        rate=rate,
        stop_at=stop_at,
        expires_in=expires_in,
        force=frozenset(force),
        max_redrives=settings.dead_letters.max_redrives,
    )
    pinned = read_plan(_content(apply))
    counts: dict[str, int] = {}
    async with _desk(settings, config) as desk, aclosing(desk.apply(pinned, options)) as rows:
        async for row in rows:
            counts[row.verdict] = counts.get(row.verdict, 0) + 1
            _print_verdict(row, json=json)
    if not json:
        print_line(f"{counts.get('apply', 0)} sent again as {pinned.batch}, {sum(counts.values())} looked at")
    return DONE


async def archive(
    *letters: Annotated[str, Parameter(help="Letters by partition:offset, in place of filters.")],
    note: NoteOption,
    filters: FilterOptions = NO_FILTERS,
    operator: OperatorOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Put letters aside: they stay on the topic, and no list of open ones has them.

    ```sh
    leverage-gateway dead-letters archive 3:1042 --note "account is closed"
    ```
    """
    return await _put("archived", letters, filters, note, operator, config, json=json)


async def restore(
    *letters: Annotated[str, Parameter(help="Letters by partition:offset, in place of filters.")],
    note: NoteOption,
    filters: FilterOptions = NO_FILTERS,
    operator: OperatorOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> int:
    """Make archived letters open again.

    ```sh
    leverage-gateway dead-letters restore 3:1042 --note "account is back"
    ```
    """
    return await _put("open", letters, filters, note, operator, config, json=json)


def make_filters(options: FilterOptions, *, state: Literal["open", "archived"] = "open") -> Filters:
    """The filters of the library; UsageError where a time is none."""
    return Filters(
        venue=options.venue,
        account=options.account,
        lane=options.lane,
        reason=options.reason,
        issuer=options.issuer,
        code=options.code,
        command_id=options.command_id,
        partition=options.partition,
        since=_time("--since", options.since),
        until=_time("--until", options.until),
        state=options.state or state,
    )


async def _dry_run(
    settings: Settings,
    config: Path | None,
    letters: tuple[str, ...],
    filters: FilterOptions,
    path: Path | None,
    *,
    json: bool,
) -> int:
    _check_places(letters)
    async with _desk(settings, config) as desk:
        plan, coverage = await desk.plan(
            make_filters(filters), letters, max_redrives=settings.dead_letters.max_redrives
        )
    for row in plan.letters:
        _print_verdict(row, json=json)
    _print_row(coverage, json=json)
    if path is not None:
        await asyncio.to_thread(path.write_bytes, write_plan(plan))
    if not json:
        would = sum(row.verdict == "apply" for row in plan.letters)
        print_line(f"{would} of {len(plan.letters)} would be sent again; nothing was published")
    return DONE


async def _put(  # noqa: PLR0917 - what both commands were given
    state: Literal["archived", "open"],
    letters: tuple[str, ...],
    filters: FilterOptions,
    note: str,
    operator: str | None,
    config: Path | None,
    *,
    json: bool,
) -> int:
    _check_places(letters)
    settings = read_settings(config, with_accounts=False)
    count = 0
    async with _desk(settings, config) as desk:
        places = list(letters)
        if not places:
            chosen = make_filters(filters, state="open" if state == "archived" else "archived")
            places = [row.letter async for row in desk.rows(chosen) if isinstance(row, LetterRow)]
        put = desk.put(places, state=state, operator=operator or getpass.getuser(), note=_note(note))
        async with aclosing(put) as dispositions:
            async for disposition in dispositions:
                count += 1
                if json:
                    print_json(to_row(disposition))
    if not json:
        print_line(f"{count} of {len(places)} are {state} now")
    return DONE if count or not letters else NO


@asynccontextmanager
async def _desk(settings: Settings, config: Path | None) -> AsyncGenerator[DeadLetters]:
    kafka = settings.kafka
    options = await reachable(kafka, client_options(kafka, base_dir_of(config)))
    try:
        async with open_dead_letters(options, kafka.topics, group=kafka.group_id) as desk:
            yield desk
    except BrokenPipeError:
        raise
    except (KafkaError, OSError) as error:
        raise unreachable(kafka, error) from error


def _print_row(row: LetterRow | Coverage, *, json: bool) -> None:
    if json:
        print_json(to_row(row))
    elif isinstance(row, Coverage):
        spans = ", ".join(f"{span.partition}:{span.begin}-{span.end}" for span in row.partitions)
        print_line(f"looked at {spans or 'nothing'}: {'all there is' if row.complete else 'not all there is'}")
    else:
        fields = (row.letter, row.state, row.failed_at, row.reason, row.code, row.venue, row.account, row.lane)
        print_line("  ".join("-" if field is None else str(field)[:80] for field in (*fields, row.command_id)))


def _print_verdict(row: LetterVerdict, *, json: bool) -> None:
    if json:
        print_json(to_row(row))
    else:
        print_line(f"{row.letter:<16}{row.verdict:<17}{row.why}")


def _check_places(letters: tuple[str, ...]) -> None:
    try:
        for place in letters:
            parse_place(place)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _note(note: str | None) -> str:
    if not note or not note.strip():
        raise UsageError("--note TEXT is needed: why this is done, for whoever looks later")
    return note


def _time(option: str, text: str | None) -> datetime | None:
    try:
        at = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        at = datetime.min  # noqa: DTZ901 - without an offset, as is refused below
    if at is not None and at.tzinfo is None:
        raise UsageError(f"{option} expects a time with its offset, as in 2026-11-21T08:00:00Z")
    return at


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"--apply {path}: {error.strerror}") from None
